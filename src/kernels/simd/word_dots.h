#pragma once

#include "src/kernels/simd/softmax_tape.h"

namespace sluice::kernels::simd {

// out[r * pitch + word - group.begin()] = row r of x, [blocks][rows][16], times each word of the
// group, from the copies in fewer bits where there are some. The bits of a row do not depend on how
// many there are. x: kMostRows more rows than these can be read.
void word_dots(const Kernels& kernels, const WordGroup& group, float* x, Index rows, float* out,
               Index pitch);

}  // namespace sluice::kernels::simd
