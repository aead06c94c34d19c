// Updates and sums over runs of parameters: bound by memory, one pass. Every product that is added
// to something is fused with the addition, so that no compiler has a choice to make: a number's
// result has the same bits wherever it stands, and in all instruction sets.
#if defined(SLUICE_KERNELS_SIMD_UPDATE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_UPDATE_INL_H_
#undef SLUICE_KERNELS_SIMD_UPDATE_INL_H_
#else
#define SLUICE_KERNELS_SIMD_UPDATE_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using UpdateTag = hn::ScalableTag<float>;
using UpdateVector = hn::Vec<UpdateTag>;
inline constexpr Index kUpdateLanes = static_cast<Index>(HWY_LANES(float));

HWY_INLINE UpdateVector Everywhere(double value) {
  return hn::Set(UpdateTag(), static_cast<float>(value));
}

// What a step changes of a vector of numbers.
struct Parameters {
  UpdateVector value, state0, state1;
};

template <bool kNesterov>
struct MomentumStep {
  MomentumStep(const UpdateRule& rule, double decay)
      : momentum(Everywhere(rule.momentum)),
        lr(Everywhere(rule.lr)),
        shrink(Everywhere(1 - rule.lr * decay)) {}
  HWY_INLINE void operator()(UpdateVector gradient, Parameters& p) const {
    p.state0 = hn::MulAdd(momentum, p.state0, gradient);
    const UpdateVector change = kNesterov ? hn::MulAdd(momentum, p.state0, gradient) : p.state0;
    p.value = hn::NegMulAdd(lr, change, hn::Mul(p.value, shrink));
  }
  UpdateVector momentum, lr, shrink;
};

// l2: the decay that is added to the gradient; decay: the one that shrinks the value.
struct AdamStep {
  AdamStep(const PreparedStep& step, double decay, double l2_decay)
      : AdamStep(step, step.rule, decay, l2_decay) {}
  AdamStep(const PreparedStep& step, const UpdateRule& rule, double decay, double l2_decay)
      : beta1(Everywhere(rule.momentum)),
        rest1(Everywhere(1 - rule.momentum)),
        beta2(Everywhere(rule.beta2)),
        rest2(Everywhere(1 - rule.beta2)),
        step_size(Everywhere(rule.lr / step.moment_correction)),
        root(Everywhere(1 / std::sqrt(step.square_correction))),
        eps(Everywhere(rule.eps)),
        l2(Everywhere(l2_decay)),
        shrink(Everywhere(1 - rule.lr * decay)) {}
  HWY_INLINE void operator()(UpdateVector gradient, Parameters& p) const {
    gradient = hn::MulAdd(l2, p.value, gradient);
    p.state0 = hn::MulAdd(beta1, p.state0, hn::Mul(rest1, gradient));
    p.state1 = hn::MulAdd(beta2, p.state1, hn::Mul(hn::Mul(rest2, gradient), gradient));
    const UpdateVector scale = hn::MulAdd(hn::Sqrt(p.state1), root, eps);
    p.value = hn::MulSub(p.value, shrink, hn::Div(hn::Mul(step_size, p.state0), scale));
  }
  UpdateVector beta1, rest1, beta2, rest2, step_size, root, eps, l2, shrink;
};

// One vector of a run, its numbers at `at`; `share`: those of its columns.
template <class Step>
HWY_INLINE void StepVector(const Step& step, UpdateVector scale, UpdateVector average,
                           const Run& run, Index at, const float* share) {
  const UpdateTag d;
  Parameters p = {hn::LoadU(d, run.value + at), hn::LoadU(d, run.state0 + at), hn::Zero(d)};
  if (run.state1 != nullptr) p.state1 = hn::LoadU(d, run.state1 + at);
  UpdateVector gradient = hn::Zero(d);
  if (run.gradient != nullptr) gradient = hn::LoadU(d, run.gradient + at);
  if (share != nullptr) gradient = hn::NegMulAdd(p.value, hn::LoadU(d, share), gradient);
  step(hn::Mul(scale, gradient), p);
  hn::StoreU(p.value, d, run.value + at);
  hn::StoreU(p.state0, d, run.state0 + at);
  if (run.state1 != nullptr) hn::StoreU(p.state1, d, run.state1 + at);
  if (run.average == nullptr) return;
  const UpdateVector mean = hn::LoadU(d, run.average + at);
  hn::StoreU(hn::MulAdd(average, hn::Sub(p.value, mean), mean), d, run.average + at);
}

// The last numbers of a run, less than a vector, with the same instructions as all others: on
// copies that have room for one.
template <class Step>
HWY_INLINE void StepTail(const Step& step, UpdateVector scale, UpdateVector average, const Run& run,
                         Index at, Index size, const float* share) {
  constexpr std::array<float * Run::*, 5> kArrays = {&Run::value, &Run::gradient, &Run::state0,
                                                     &Run::state1, &Run::average};
  float numbers[kArrays.size()][kUpdateLanes] = {};
  Run copy = {};
  for (std::size_t i = 0; i < kArrays.size(); ++i) {
    if (run.*kArrays[i] == nullptr) continue;
    std::copy_n(run.*kArrays[i] + at, size, numbers[i]);
    copy.*kArrays[i] = numbers[i];
  }
  StepVector(step, scale, average, copy, 0, share);
  for (std::size_t i = 0; i < kArrays.size(); ++i) {
    if (run.*kArrays[i] == nullptr || kArrays[i] == &Run::gradient) continue;
    std::copy_n(numbers[i], size, run.*kArrays[i] + at);
  }
}

// `parts` runs of `size` numbers, `pitch` apart.
template <class Step>
HWY_NOINLINE void StepRuns(const Step& step, const UpdateRule& rule, const Run& run, Index size,
                           const float* share, Index parts, Index pitch) {
  const UpdateVector scale = Everywhere(rule.scale), average = Everywhere(rule.average);
  for (Index first = 0; first < parts * pitch; first += pitch) {
    const Index end = first + size;
    const auto columns = [&](Index at) {
      return share == nullptr ? nullptr : share + (at - first) % kBlock;
    };
    Index at = first;
    for (; at + kUpdateLanes <= end; at += kUpdateLanes) {
      StepVector(step, scale, average, run, at, columns(at));
    }
    if (at < end) StepTail(step, scale, average, run, at, end - at, columns(at));
  }
}

inline void Update(const PreparedStep& step, double decay, const Run& run, Index size,
                   const float* share, Index parts, Index pitch) {
  const UpdateRule& rule = step.rule;
  switch (rule.kind) {
    case UpdateKind::kSgd:
      return StepRuns(MomentumStep<false>(rule, decay), rule, run, size, share, parts, pitch);
    case UpdateKind::kNag:
      return StepRuns(MomentumStep<true>(rule, decay), rule, run, size, share, parts, pitch);
    case UpdateKind::kAdam:
      return StepRuns(AdamStep(step, 0, decay), rule, run, size, share, parts, pitch);
    case UpdateKind::kAdamw:
      return StepRuns(AdamStep(step, decay, 0), rule, run, size, share, parts, pitch);
  }
}

// Adds the products of `pairs` times two blocks to sums[16]: few enough to be added up in float.
HWY_INLINE void AddShortDots(const float* a, const float* b, Index pairs, double* sums) {
  constexpr Index kVectorsOfPair = 2 * kBlock / kUpdateLanes;
  const UpdateTag d;
  UpdateVector dots[kVectorsOfPair];
#pragma GCC unroll 8
  for (Index v = 0; v < kVectorsOfPair; ++v) dots[v] = hn::Zero(d);
  for (Index pair = 0; pair < pairs; ++pair) {
    const Index at = pair * 2 * kBlock;
#pragma GCC unroll 8
    for (Index v = 0; v < kVectorsOfPair; ++v) {
      const UpdateVector x = hn::LoadU(d, a + at + v * kUpdateLanes);
      dots[v] = hn::MulAdd(x, hn::LoadU(d, b + at + v * kUpdateLanes), dots[v]);
    }
  }
  float lanes[2 * kBlock];
#pragma GCC unroll 8
  for (Index v = 0; v < kVectorsOfPair; ++v) hn::StoreU(dots[v], d, lanes + v * kUpdateLanes);
  for (Index i = 0; i < kBlock; ++i) sums[i] += static_cast<double>(lanes[i] + lanes[kBlock + i]);
}

inline void AddDots(const float* a, const float* b, Index size, double* sums) {
  constexpr Index kPairs = 8, kRun = kPairs * 2 * kBlock;
  for (; size >= kRun; size -= kRun, a += kRun, b += kRun) AddShortDots(a, b, kPairs, sums);
  const Index pairs = size / (2 * kBlock), done = pairs * 2 * kBlock;
  if (pairs > 0) AddShortDots(a, b, pairs, sums);
  if (done == size) return;
  float rest_a[2 * kBlock] = {}, rest_b[2 * kBlock] = {};
  std::copy_n(a + done, size - done, rest_a);
  std::copy_n(b + done, size - done, rest_b);
  AddShortDots(rest_a, rest_b, 1, sums);
}

inline double SumOfSquares(const float* values, Index size) {
  double sums[kBlock] = {};
  AddDots(values, values, size, sums);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
