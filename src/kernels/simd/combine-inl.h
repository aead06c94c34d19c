// Linear combinations of lines of 16 numbers: the transforms of minimal_filter.h.
#if defined(SLUICE_KERNELS_SIMD_COMBINE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_COMBINE_INL_H_
#undef SLUICE_KERNELS_SIMD_COMBINE_INL_H_
#else
#define SLUICE_KERNELS_SIMD_COMBINE_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels.h"
#include "product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {

template <int kInputs>
HWY_NOINLINE void CombineLines(const Combination& job) {
  const ProductTag d;
  for (Index i = 0; i < job.lines * kVectors; ++i) {
    const Index line = i / kVectors, lane = i % kVectors * kProductLanes;
    const float* in = job.in + line * job.in_step + lane;
    float* out = job.out + line * job.out_step + lane;
    ProductVector parts[kInputs];
#pragma GCC unroll 16
    for (int k = 0; k < kInputs; ++k) parts[k] = hn::LoadU(d, in + k * job.in_pitch);
    const float* factors = job.factors;
    for (Index o = 0; o < job.outputs; ++o) {
      ProductVector sum = job.add ? hn::LoadU(d, out) : hn::Zero(d);
#pragma GCC unroll 16
      for (int k = 0; k < kInputs; ++k) sum = hn::MulAdd(hn::Set(d, factors[k]), parts[k], sum);
      hn::StoreU(sum, d, out);
      out += job.out_pitch;
      factors += job.factor_pitch;
    }
  }
}

inline void Combine(const Combination& job) {
  switch (job.inputs) {
    case 1:
      return CombineLines<1>(job);
    case 2:
      return CombineLines<2>(job);
    case 3:
      return CombineLines<3>(job);
    case 4:
      return CombineLines<4>(job);
    case 5:
      return CombineLines<5>(job);
    default:
      return CombineLines<kMostCombined>(job);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
