#pragma once

#include "sluice/kernels/update.h"

namespace sluice::kernels::reference {

// The arrays of one run of parameters.
struct Span {
  Real *p, *g, *s0, *s1, *average;
  Index size;
  Span(const Slices& slices, Index begin, Index length)
      : p(slices[Array::kValue] + begin),
        g(slices[Array::kGradient] + begin),
        s0(slices[Array::kState0] + begin),
        s1(optional(slices[Array::kState1], begin)),
        average(optional(slices[Array::kAverage], begin)),
        size(length) {}
  static Real* optional(Real* array, Index begin) {
    return array == nullptr ? nullptr : array + begin;
  }
};

// kernels/update.h for numbers p with the raw gradient g (which may be elsewhere than span.g).
void step(const UpdateRule& rule, double decay, const Real* g, const Span& span);

}  // namespace sluice::kernels::reference
