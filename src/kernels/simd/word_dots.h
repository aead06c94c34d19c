#pragma once

#include "src/kernels/simd/softmax_tape.h"

namespace sluice::kernels::simd {

// out[r * pitch + word - group.begin()] = row r of x times each word of the
// group, from the copies in fewer bits where there are some. The bits of a row do not depend on how
// many there are. x: kMostRows more rows than there are can be read.
void word_dots(const Kernels& kernels, const WordGroup& group, const NarrowRows& x, float* out,
               Index pitch);

}  // namespace sluice::kernels::simd
