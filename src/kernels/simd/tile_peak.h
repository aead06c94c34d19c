#pragma once

#include <array>

#include "tiles.h"

namespace sluice::kernels::simd {

// A product whose operands stay in the first cache, for measuring how fast tiles multiply at best.
// A thread has its own.
class TilePeak {
 public:
  TilePeak();
  TilePeak(const TilePeak&) = delete;
  TilePeak& operator=(const TilePeak&) = delete;
  // So often, between one begin() and end(). Returns FLOP done, two for each multiply-add.
  double multiply(const TileKernels& kernels, Index times);
  // What multiply() computes; numbers between -1 and 1, as a CPU's power depends on them.
  const TileProduct& product() const { return product_; }

 private:
  // 20 KB. The same chunk again and again: a sum that is long beside the writing of its result.
  static constexpr Index kTaps = 4, kChunks = 128, kRows = 32;
  alignas(64) std::array<Bfloat16, static_cast<std::size_t>(kTaps* kTilePair)> a_, b_;
  alignas(64) std::array<float, static_cast<std::size_t>(kRows* kRows)> out_ = {};
  TileProduct product_;
};

}  // namespace sluice::kernels::simd
