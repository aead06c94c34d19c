// Norms over a token's channels (kernels/norm.h), of the rows of a tile, which stay in the first
// cache from pass to pass. Every row takes the same instructions in the same order, whatever tile
// it is in.
#if defined(SLUICE_KERNELS_SIMD_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_NORM_INL_H_
#undef SLUICE_KERNELS_SIMD_NORM_INL_H_
#else
#define SLUICE_KERNELS_SIMD_NORM_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels.h"
#include "math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {

// One vector's share of a block, in all rows of a tile; lanes behind the last channel are false in
// `inside`.
struct NormStrip {
  HWY_INLINE NormStrip(const NormView& norm, Index channel, Index row)
      : x(norm.x.at(channel / kBlock, row) + channel % kBlock),
        dz(norm.dz ? norm.dz.at(channel / kBlock, row) + channel % kBlock : nullptr),
        gain(hn::Load(kFloats, norm.gains + channel)),
        inside(hn::FirstN(kFloats, static_cast<std::size_t>(
                                       std::clamp<Index>(norm.channels - channel, 0, kLanes)))) {}

  HWY_INLINE Floats X(Index r) const { return hn::Load(kFloats, x + r * kBlock); }
  // x^
  HWY_INLINE Floats Unit(Index r, const NormRows& rows) const {
    return hn::Mul(hn::Sub(X(r), Splat(rows.mean[r])), Splat(rows.inverse[r]));
  }
  HWY_INLINE Floats Dz(Index r) const { return hn::Load(kFloats, dz + r * kBlock); }
  // gamma dy
  HWY_INLINE Floats U(Index r) const { return hn::Mul(gain, Dz(r)); }

  const float *x, *dz;
  Floats gain;
  hn::Mask<FloatTag> inside;
};

// means[r] = mean of a * b over the channels, {a, b} = factors(strip, r).
struct NormFactors {
  Floats a, b;
};
template <class Factors>
HWY_INLINE void MeanOfProducts(const NormView& norm, Index row, Index rows, const Factors& factors,
                               float* means) {
  alignas(64) float sums[kMostRows * kLanes];
  for (Index r = 0; r < rows; ++r) hn::Store(hn::Zero(kFloats), kFloats, sums + r * kLanes);
  for (Index channel = 0; channel < norm.channels; channel += kLanes) {
    const NormStrip strip(norm, channel, row);
    for (Index r = 0; r < rows; ++r) {
      const NormFactors of = factors(strip, r);
      const Floats a = hn::IfThenElseZero(strip.inside, of.a);
      float* const sum = sums + r * kLanes;
      hn::Store(hn::MulAdd(a, of.b, hn::Load(kFloats, sum)), kFloats, sum);
    }
  }
  const float count = static_cast<float>(norm.channels);
  for (Index r = 0; r < rows; ++r) {
    means[r] = hn::GetLane(hn::SumOfLanes(kFloats, hn::Load(kFloats, sums + r * kLanes))) / count;
  }
}

inline void NormStatistics(const NormView& norm, Index row, Index rows, NormRows& out) {
  std::fill_n(out.mean, rows, 0.0F);
  if (norm.centred) {
    MeanOfProducts(
        norm, row, rows,
        [](const NormStrip& strip, Index r) {
          return NormFactors{strip.X(r), Splat(1)};
        },
        out.mean);
  }
  MeanOfProducts(
      norm, row, rows,
      [&](const NormStrip& strip, Index r) {
        const Floats centred = hn::Sub(strip.X(r), Splat(out.mean[r]));
        return NormFactors{centred, centred};
      },
      out.inverse);
  for (Index r = 0; r < rows; ++r) out.inverse[r] = 1 / std::sqrt(out.inverse[r] + norm.eps);
}

inline void NormForward(const NormView& norm, Index block, Index row, Index rows,
                        const NormRows& statistics, float* z) {
  for (Index lane = 0; lane < kBlock; lane += kLanes) {
    const Index channel = block * kBlock + lane;
    const NormStrip strip(norm, channel, row);
    const Floats offset =
        norm.offsets != nullptr ? hn::Load(kFloats, norm.offsets + channel) : hn::Zero(kFloats);
    for (Index r = 0; r < rows; ++r) {
      const Floats y = hn::MulAdd(strip.Unit(r, statistics), strip.gain, offset);
      hn::Store(y, kFloats, z + r * kPanel + lane);
    }
  }
}

inline void NormSums(const NormView& norm, Index row, Index rows, NormRows& out) {
  MeanOfProducts(
      norm, row, rows,
      [&](const NormStrip& strip, Index r) {
        return NormFactors{strip.U(r), strip.Unit(r, out)};
      },
      out.along);
  std::fill_n(out.level, rows, 0.0F);
  if (!norm.centred) return;
  MeanOfProducts(
      norm, row, rows,
      [](const NormStrip& strip, Index r) {
        return NormFactors{strip.U(r), Splat(1)};
      },
      out.level);
}

inline void NormBackward(const NormView& norm, Index block, Index row, Index rows,
                         const NormRows& statistics, float* d, float* gain_sums,
                         float* offset_sums) {
  for (Index lane = 0; lane < kBlock; lane += kLanes) {
    const Index channel = block * kBlock + lane;
    const NormStrip strip(norm, channel, row);
    Floats gain_sum = hn::Zero(kFloats), offset_sum = gain_sum;
    for (Index r = 0; r < rows; ++r) {
      const Floats unit = strip.Unit(r, statistics), dz = strip.Dz(r);
      gain_sum = hn::MulAdd(dz, unit, gain_sum);
      offset_sum = hn::Add(offset_sum, dz);
      const Floats across = hn::NegMulAdd(unit, Splat(statistics.along[r]),
                                          hn::Sub(strip.U(r), Splat(statistics.level[r])));
      const Floats dx = hn::Mul(across, Splat(statistics.inverse[r]));
      hn::Store(hn::IfThenElseZero(strip.inside, dx), kFloats, d + r * kPanel + lane);
    }
    const auto add = [&](Floats sum, float* to) {
      hn::Store(hn::Add(hn::Load(kFloats, to + lane), sum), kFloats, to + lane);
    };
    add(gain_sum, gain_sums);
    if (offset_sums != nullptr) add(offset_sum, offset_sums);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
