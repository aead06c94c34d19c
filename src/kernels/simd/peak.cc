#include "peak.h"

// Older instruction sets than these would never be the widest, and an AVX3_DL baseline is refused
// by Highway where the compiler takes a CPU for one. SSE4 stays: without it such a CPU's peak would
// be that of scalars.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/kernels/simd/peak.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

HWY_NOINLINE double multiply_add(Index rounds, float* sink) {
  const hn::ScalableTag<float> tag;
  using Vector = hn::Vec<decltype(tag)>;
  // Two per cycle with a latency of four or five: ten chains at least, and 16 registers at most.
  constexpr Index kChains = 12;
  // All from memory: chains that the compiler knows to be equal become one.
  const auto start = [&](int chain) HWY_ATTR { return hn::Set(tag, sink[chain + 2]); };
  const Vector factor = hn::Set(tag, sink[0]), term = hn::Set(tag, sink[1]);
  Vector a = start(0), b = start(1), c = start(2), d = start(3), e = start(4), f = start(5);
  Vector g = start(6), h = start(7), i = start(8), j = start(9), k = start(10), l = start(11);
  for (Index round = 0; round < rounds; ++round) {
    a = hn::MulAdd(a, factor, term);
    b = hn::MulAdd(b, factor, term);
    c = hn::MulAdd(c, factor, term);
    d = hn::MulAdd(d, factor, term);
    e = hn::MulAdd(e, factor, term);
    f = hn::MulAdd(f, factor, term);
    g = hn::MulAdd(g, factor, term);
    h = hn::MulAdd(h, factor, term);
    i = hn::MulAdd(i, factor, term);
    j = hn::MulAdd(j, factor, term);
    k = hn::MulAdd(k, factor, term);
    l = hn::MulAdd(l, factor, term);
  }
  a = hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, d)), hn::Add(hn::Add(e, f), hn::Add(g, h)));
  hn::StoreU(hn::Add(a, hn::Add(hn::Add(i, j), hn::Add(k, l))), tag, sink);
  return 2.0 * static_cast<double>(kChains * rounds) * static_cast<double>(hn::Lanes(tag));
}

HWY_NOINLINE void read(const std::byte* from, std::size_t bytes, float* sink) {
  const hn::ScalableTag<float> tag;
  constexpr std::size_t kVectors = 8;
  const std::size_t lanes = hn::Lanes(tag), step = kVectors * lanes;
  const auto* at = reinterpret_cast<const float*>(from);
  const float* const end = at + bytes / (step * sizeof(float)) * step;
  auto a = hn::Zero(tag), b = a, c = a, d = a;
  for (; at != end; at += step) {
    a = hn::Or(a, hn::Or(hn::LoadU(tag, at), hn::LoadU(tag, at + 4 * lanes)));
    b = hn::Or(b, hn::Or(hn::LoadU(tag, at + lanes), hn::LoadU(tag, at + 5 * lanes)));
    c = hn::Or(c, hn::Or(hn::LoadU(tag, at + 2 * lanes), hn::LoadU(tag, at + 6 * lanes)));
    d = hn::Or(d, hn::Or(hn::LoadU(tag, at + 3 * lanes), hn::LoadU(tag, at + 7 * lanes)));
  }
  hn::StoreU(hn::Or(hn::Or(a, b), hn::Or(c, d)), tag, sink);
}

const char* target_name() {
  return HWY_TARGET == HWY_AVX3 ? "AVX-512" : hwy::TargetName(HWY_TARGET);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sluice::kernels::simd {

HWY_EXPORT(multiply_add);
HWY_EXPORT(read);
HWY_EXPORT(target_name);

double multiply_add(Index rounds, float* sink) {
  return HWY_DYNAMIC_DISPATCH(multiply_add)(rounds, sink);
}
void read(const std::byte* from, std::size_t bytes, float* sink) {
  HWY_DYNAMIC_DISPATCH(read)(from, bytes, sink);
}
const char* target_name() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace sluice::kernels::simd
#endif
