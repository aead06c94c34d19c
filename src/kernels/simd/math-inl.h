// Elementary functions on vectors of floats. All of them keep a NaN: a training step must notice
// it. Tested through the gates and the softmax.
#if defined(SLUICE_KERNELS_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_MATH_INL_H_
#undef SLUICE_KERNELS_SIMD_MATH_INL_H_
#else
#define SLUICE_KERNELS_SIMD_MATH_INL_H_
#endif

#include <hwy/highway.h>

#include "sluice/base/real.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::ScalableTag<float>;
using Floats = hn::Vec<FloatTag>;
inline constexpr FloatTag kFloats;
inline constexpr hn::RebindToUnsigned<FloatTag> kWords;
inline constexpr Index kLanes = static_cast<Index>(HWY_LANES(float));

HWY_INLINE Floats Splat(float value) { return hn::Set(kFloats, value); }

// min(x, bound). Of two operands x86 returns the second where one is NaN, NEON's minimum the
// number.
HWY_INLINE Floats AtMost(Floats x, float bound) {
#if HWY_ARCH_X86
  return hn::Min(Splat(bound), x);
#else
  return hn::IfThenElse(hn::Gt(x, Splat(bound)), Splat(bound), x);
#endif
}

// max(x, 0).
HWY_INLINE Floats PositivePart(Floats x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(kFloats)), x);
}

// exp(x) = power * (1 + rest), power a power of two, |rest| < 0.42.
struct SplitExp {
  Floats power, rest;
};
HWY_INLINE SplitExp SplitExpOf(Floats x) {
  // Adding 1.5 * 2^23 rounds to an integer n and leaves it in the low bits; 127 more make it the
  // exponent of 2^n.
  constexpr float kRound = 12582912.0F + 127.0F;
  const Floats shifted = hn::MulAdd(x, Splat(1.442695041F), Splat(kRound));
  const Floats n = hn::Sub(shifted, Splat(kRound));
  // ln 2 in two parts, the first with so few bits that n times it is exact.
  const Floats r =
      hn::NegMulAdd(n, Splat(-2.12194440e-4F), hn::NegMulAdd(n, Splat(0.693359375F), x));
  // exp(r) - 1 = r + r^2 q(r): q from a minimax fit of the relative error on |r| <= ln(2) / 2,
  // which is 4.2e-9 with these rounded coefficients.
  Floats q = hn::MulAdd(Splat(0.00138143206F), r, Splat(0.00836885069F));
  q = hn::MulAdd(q, r, Splat(0.0416684002F));
  q = hn::MulAdd(q, r, Splat(0.166665196F));
  q = hn::MulAdd(q, r, Splat(0.49999994F));
  const Floats power = hn::BitCast(kFloats, hn::ShiftLeft<23>(hn::BitCast(kWords, shifted)));
  return {power, hn::MulAdd(hn::Mul(r, r), q, r)};
}

// exp(x) to about 1 unit in the last place; exactly 0 below -87.3, exp(88) above 88.
HWY_INLINE Floats Exp(Floats x) {
  const SplitExp parts = SplitExpOf(AtMost(x, 88.0F));
  return hn::IfThenZeroElse(hn::Lt(x, Splat(-87.3F)),
                            hn::MulAdd(parts.power, parts.rest, parts.power));
}

// 1 / (1 + exp(-x))
HWY_INLINE Floats Logistic(Floats x) {
  return hn::Div(Splat(1), hn::Add(Splat(1), Exp(hn::Neg(x))));
}

// (exp(2x) - 1) / (exp(2x) + 1) of |x|, where the numerator does not cancel near 0; 1 from 9.02 on.
HWY_INLINE Floats Tanh(Floats x) {
  const Floats size = AtMost(hn::Abs(x), 10.0F);
  const SplitExp parts = SplitExpOf(hn::Add(size, size));
  const Floats less_one = hn::MulAdd(parts.power, parts.rest, hn::Sub(parts.power, Splat(1)));
  return hn::CopySign(hn::Div(less_one, hn::Add(less_one, Splat(2))), x);
}

// Phi(x) and x Phi'(x), of the standard normal distribution. Phi to 1e-7, from the approximation
// 7.1.26 of erf in Abramowitz and Stegun, Handbook of Mathematical Functions (1964).
struct Normal {
  Floats distribution, moment;
};
HWY_INLINE Normal NormalOf(Floats x) {
  const Floats size = hn::Abs(x);
  const Floats e = Exp(hn::Mul(hn::Mul(x, x), Splat(-0.5F)));
  // 0.3275911 / sqrt(2)
  const Floats t = hn::Div(Splat(1), hn::MulAdd(size, Splat(0.23164189F), Splat(1)));
  Floats p = hn::MulAdd(Splat(1.061405429F), t, Splat(-1.453152027F));
  p = hn::MulAdd(p, t, Splat(1.421413741F));
  p = hn::MulAdd(p, t, Splat(-0.284496736F));
  p = hn::MulAdd(p, t, Splat(0.254829592F));
  const Floats tail = hn::Mul(hn::Mul(hn::Mul(p, t), Splat(0.5F)), e);
  const Floats distribution =
      hn::IfThenElse(hn::Lt(x, hn::Zero(kFloats)), tail, hn::Sub(Splat(1), tail));
  constexpr float kPeak = 0.39894228F;  // 1 / sqrt(2 pi)
  // Where e has vanished x may be infinite.
  return {distribution,
          hn::IfThenZeroElse(hn::Eq(e, hn::Zero(kFloats)), hn::Mul(hn::Mul(x, Splat(kPeak)), e))};
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
