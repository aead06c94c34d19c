#include "src/kernels/simd/tile_peak.h"

#include <bit>
#include <cstdint>

#include "sluice/kernels/weight_format.h"

namespace sluice::kernels::simd {

TilePeak::TilePeak()
    : product_{.a = a_.data(),
               .a_chunk = 0,
               .a_tap = kTilePair,
               .b = b_.data(),
               .b_chunk = 0,
               .chunks = kChunks,
               .taps = kTaps,
               .rows = kRows,
               .out = out_.data(),
               .add = false,
               .aside = {}} {
  std::uint32_t state = 1;
  const auto fill = [&](auto& numbers) {
    for (Bfloat16& number : numbers) {
      state = state * 1664525U + 1013904223U;  // Numerical Recipes' generator
      const float value = static_cast<float>(state >> 8) * 0x1p-23F - 1;
      number = static_cast<Bfloat16>(std::bit_cast<std::uint32_t>(to_bfloat16(value)) >> 16);
    }
  };
  fill(a_);
  fill(b_);
}

double TilePeak::multiply(const TileKernels& kernels, Index times) {
  kernels.begin();
  for (Index i = 0; i < times; ++i) kernels.product(product_);
  kernels.end();
  return 2.0 * static_cast<double>(times * kChunks * kTaps * kLine) *
         static_cast<double>(kRows * kRows);
}

}  // namespace sluice::kernels::simd
