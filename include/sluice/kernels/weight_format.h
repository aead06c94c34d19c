#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <utility>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"

// Formats of fewer bits for weights that are only read, so that generation, which is bound by
// reading them, reads less. Activations and sums stay floats, but for one thing: where the CPU has
// instructions for it, rows that int8 weights multiply are rounded to 24 bits, of the largest
// number of the row.
namespace sluice::kernels {

// bf16: the upper half of a float, 8 significant bits. int8: q s, q from -127 to 127, with one
// scale s per channel (column of a product, row of a table).
enum class WeightFormat : std::uint8_t { kFloat32, kBfloat16, kInt8 };

constexpr Index bytes_of(WeightFormat format) {
  return format == WeightFormat::kFloat32 ? 4 : format == WeightFormat::kBfloat16 ? 2 : 1;
}

// The nearest number that bf16 holds, of two the even one. A NaN stays one.
inline float to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return std::bit_cast<float>((bits | 0x400000U) & 0xFFFF0000U);
  return std::bit_cast<float>((bits + 0x7FFFU + (bits >> 16 & 1U)) & 0xFFFF0000U);
}

// q of the nearest q s, of two the even one. The scale of a channel that holds a NaN or infinity is
// NaN: all its q are 0, and all it makes is NaN.
inline float int8_code(float value, float scale) {
  return scale > 0 ? std::clamp(std::nearbyint(value / scale), -127.0F, 127.0F) : 0.0F;
}

// Rounds the weights of one channel, for each of which each(f) calls f(Real&), to what the format
// holds. Returns the scale, of int8 the largest magnitude / 127, of others 1.
template <class Each>
float narrow_channel(WeightFormat format, const Each& each) {
  if (format == WeightFormat::kBfloat16) {
    each([](Real& weight) { weight = Real(to_bfloat16(static_cast<float>(weight))); });
  }
  if (format != WeightFormat::kInt8) return 1;
  // A sum of zeros; NaN as soon as one of the weights is not finite.
  float largest = 0, zeros = 0;
  each([&](Real& weight) {
    const float size = std::abs(static_cast<float>(weight));
    largest = size > largest ? size : largest;
    zeros += 0 * size;
  });
  const float scale = largest / 127 + zeros;
  each([&](Real& weight) { weight = Real(int8_code(static_cast<float>(weight), scale) * scale); });
  return scale;
}

}  // namespace sluice::kernels

template <>
inline constexpr auto sluice::enum_names<sluice::kernels::WeightFormat> =
    std::array{std::pair{sluice::kernels::WeightFormat::kFloat32, std::string_view("f32")},
               std::pair{sluice::kernels::WeightFormat::kBfloat16, std::string_view("bf16")},
               std::pair{sluice::kernels::WeightFormat::kInt8, std::string_view("int8")}};
