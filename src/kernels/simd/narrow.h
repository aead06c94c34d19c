#pragma once

#include "sluice/base/aligned_buffer.h"
#include "sluice/kernels/weight_format.h"
#include "src/kernels/simd/kernels.h"

namespace sluice::kernels::simd {

// Copies of weights in fewer bits, in the order in which products of a few rows read them:
// [panels][chunks of 16 inputs][16][32 columns], both squares of a pair side by side.
class NarrowPanels {
 public:
  // Error kNoResource. Not for kFloat32.
  NarrowPanels(WeightFormat format, Index panels, Index chunks);

  // Of the 32 columns of a panel; int8 only. To be set before the weights.
  float* scales(Index panel) const { return scales_.data() + panel * kPanel; }
  // Copies a pair of squares, [2][16 inputs][16 columns], of numbers that the format holds.
  void set(Index panel, Index chunk, const float* pair);
  // z[r, 0..31] = row r of x, [chunks][rows][16], times a panel. x: as many rows as a whole step
  // computes can be read; z: [kMostRows, 32].
  void multiply(const Kernels& kernels, Index panel, Rows x, Index rows, float* z) const;

 private:
  template <class Code>
  Code* codes(Index panel, Index chunk) const;

  WeightFormat format_;
  Index chunks_;
  AlignedBuffer codes_, scales_;
};

}  // namespace sluice::kernels::simd
