#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "sluice/base/fields.h"

namespace sluice::kernels {

// What the operands of products (convolutions, softmax, their gradients) are rounded to. Their
// sums, and everything besides, are float in each: weights, gradients, optimiser states,
// activations between layers. Sequences of single tokens (writing text) multiply floats in each.
//
// bf16: bfloat16, 8 significant bits, to the nearest. bf16x3: each operand x the sum of two
// bfloat16, x1 the nearest to x and x2 the nearest to x - x1; x y is x1 y1 + x1 y2 + x2 y1, with a
// relative error of typically 4e-6, 3e-5 at most. f32: not at all.
enum class Precision : std::uint8_t { kF32, kBf16, kBf16x3 };

// Products of bfloat16 that take the place of one of floats.
constexpr int products_for_one(Precision precision) {
  return precision == Precision::kBf16x3 ? 3 : 1;
}

}  // namespace sluice::kernels

template <>
inline constexpr auto sluice::enum_names<sluice::kernels::Precision> =
    std::array{std::pair{sluice::kernels::Precision::kF32, std::string_view("f32")},
               std::pair{sluice::kernels::Precision::kBf16, std::string_view("bf16")},
               std::pair{sluice::kernels::Precision::kBf16x3, std::string_view("bf16x3")}};
