#pragma once

#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/kernels/weight_format.h"
#include "src/kernels/simd/digits.h"
#include "src/kernels/simd/kernels.h"

namespace sluice::kernels::simd {

// Rows as products with narrow weights read them: [blocks][rows][16], and where the weights want
// them their digits, [quads][rows].
struct NarrowRows {
  Rows floats;
  const QuadDigits* digits = nullptr;
  const float* steps = nullptr;

  Index count() const { return floats.pitch / kBlock; }
};

// Memory for the digits of so many rows and their steps; none without kernels for them.
Index digit_floats(const DigitKernels* digits, Index blocks, Index rows);

// Copies of weights in fewer bits, in the order in which products of a few rows read them:
// [panels][chunks of 16 inputs][16][32 columns], both squares of a pair side by side; for products
// in digits [panels][quads][32 columns][4].
class NarrowPanels {
 public:
  // digits: null where there are none. Error kNoResource. Not for kFloat32.
  NarrowPanels(WeightFormat format, Index panels, Index chunks, const DigitKernels* digits);

  // Of the 32 columns of a panel; int8 only. To be set before the weights.
  float* scales(Index panel) const { return scales_.data() + panel * kPanel; }
  // Copies a pair of squares, [2][16 inputs][16 columns], of numbers that the format holds, which
  // were zero. Of a panel by one thread.
  void set(Index panel, Index chunk, const float* pair);
  // Null: they are not wanted.
  const DigitKernels* digits() const { return digits_; }
  // z[r, 0..31] = row first + r of x times a panel. x: as many rows as a whole step computes can be
  // read; z: [kMostRows, 32].
  void multiply(const Kernels& kernels, Index panel, const NarrowRows& x, Index first, Index rows,
                float* z) const;

 private:
  template <class Code>
  Code* codes(Index panel, Index chunk) const;

  WeightFormat format_;
  Index chunks_;
  const DigitKernels* digits_;
  AlignedBuffer codes_, scales_;
  std::vector<std::int32_t> column_sums_;  // with digits: times 128
};

}  // namespace sluice::kernels::simd
