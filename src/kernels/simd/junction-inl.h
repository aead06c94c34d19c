// The element-wise work between two products (kernels/junction.h).
#if defined(SLUICE_KERNELS_SIMD_JUNCTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_JUNCTION_INL_H_
#undef SLUICE_KERNELS_SIMD_JUNCTION_INL_H_
#else
#define SLUICE_KERNELS_SIMD_JUNCTION_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels.h"
#include "math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {

// What follows works on one vector's share of a block, a strip, and all rows of the tile: what rows
// share stays in registers. Pointers are copied out of the views because the compiler has to assume
// that a vector store may change them.

// Null if there is no such array. Rows count from the tile's first.
HWY_INLINE float* Strip(const Rows& rows, Index block, Index row, Index lane) {
  return rows ? rows.at(block, row) + lane : nullptr;
}
HWY_INLINE float* Strip(float* by_block, Index block, Index lane) {
  return by_block == nullptr ? nullptr : by_block + block * kBlock + lane;
}
HWY_INLINE Floats StripOf(const float* by_block, Index block, Index lane, float otherwise) {
  return by_block == nullptr ? Splat(otherwise)
                             : hn::Load(kFloats, by_block + block * kBlock + lane);
}

HWY_INLINE Floats LoadRow(const float* strip, Index row) {
  return hn::Load(kFloats, strip + row * kBlock);
}
HWY_INLINE void StoreRow(Floats values, float* strip, Index row) {
  hn::Store(values, kFloats, strip + row * kBlock);
}
HWY_INLINE void StoreRowIf(Floats values, float* strip, Index row) {
  if (strip != nullptr) StoreRow(values, strip, row);
}
HWY_INLINE void AddTo(Floats values, float* sums) {
  if (sums != nullptr) hn::StoreU(hn::Add(hn::LoadU(kFloats, sums), values), kFloats, sums);
}

// What a mask multiplies by, to the bit as kernels/dropout.h says.
class MaskStrip {
 public:
  using Words = hn::Vec<decltype(kWords)>;

  HWY_INLINE MaskStrip(const DropoutMask& mask, std::uint32_t channel, Index row)
      : keys_(mask.keys == nullptr ? nullptr : mask.keys + row),
        threshold_(hn::Set(kWords, mask.threshold)),
        keep_(Splat(mask.keep)),
        channels_(hn::Mul(hn::Iota(kWords, channel), hn::Set(kWords, 0x9e3779b1U))) {}

  HWY_INLINE Floats Apply(Floats values, Index row) const {
    if (keys_ == nullptr) return values;
    const RowKey key = keys_[row];
    Words x = hn::Add(channels_, hn::Set(kWords, key.offset));
    x = hn::Xor(x, hn::ShiftRight<16>(x));
    x = hn::Mul(x, hn::Set(kWords, 0x85ebca6bU));
    x = hn::Xor(x, hn::ShiftRight<13>(x));
    x = hn::Add(x, hn::Set(kWords, key.inject));
    x = hn::Mul(x, hn::Set(kWords, 0xc2b2ae35U));
    x = hn::Xor(x, hn::ShiftRight<16>(x));
    const auto dropped = hn::RebindMask(kFloats, hn::Lt(x, threshold_));
    // A product, so that a NaN shows also where it is dropped.
    return hn::Mul(values, hn::IfThenZeroElse(dropped, keep_));
  }

 private:
  const RowKey* keys_;
  Words threshold_;
  Floats keep_;
  Words channels_;  // the part of the hash that only they decide
};

// What kernels/gate.h says of h and of what is saved; only the latter two are saved.
struct Gated {
  Floats h, first, second;
};
template <Gate kGate>
HWY_INLINE Gated GateForward(Floats a, Floats b) {
  if constexpr (kGate == Gate::kGlu) {
    const Floats sigma = Logistic(b), h = hn::Mul(a, sigma);
    return {h, h, sigma};
  } else if constexpr (kGate == Gate::kGtu) {
    const Floats tanh = Tanh(a), sigma = Logistic(b);
    return {hn::Mul(tanh, sigma), tanh, sigma};
  } else if constexpr (kGate == Gate::kBilinear) {
    return {hn::Mul(a, b), a, b};
  } else if constexpr (kGate == Gate::kSwiglu) {
    return {hn::Mul(a, hn::Mul(b, Logistic(b))), a, b};
  } else if constexpr (kGate == Gate::kGeglu) {
    return {hn::Mul(a, hn::Mul(b, NormalOf(b).distribution)), a, b};
  } else if constexpr (kGate == Gate::kReglu) {
    return {hn::Mul(a, PositivePart(b)), a, b};
  } else {
    const Floats h = kGate == Gate::kRelu ? PositivePart(a) : kGate == Gate::kTanh ? Tanh(a) : a;
    return {h, h, h};
  }
}

// dL/da and dL/db (of an unpaired gate: dL/dz in a) from d = dL/dh and what was saved.
struct GateGradient {
  Floats a, b;
};
template <Gate kGate>
HWY_INLINE GateGradient GateBackward(Floats d, Floats first, Floats second) {
  const Floats one = Splat(1), zero = hn::Zero(kFloats);
  if constexpr (kGate == Gate::kGlu) {
    return {hn::Mul(d, second), hn::Mul(hn::Mul(d, first), hn::Sub(one, second))};
  } else if constexpr (kGate == Gate::kGtu) {
    const Floats through = hn::Mul(d, second);
    return {hn::Mul(through, hn::NegMulAdd(first, first, one)),
            hn::Mul(hn::Mul(through, first), hn::Sub(one, second))};
  } else if constexpr (kGate == Gate::kBilinear) {
    return {hn::Mul(d, second), hn::Mul(d, first)};
  } else if constexpr (kGate == Gate::kSwiglu) {  // (b sigma)' = sigma (1 + b (1 - sigma))
    const Floats sigma = Logistic(second);
    const Floats slope = hn::Mul(sigma, hn::MulAdd(second, hn::Sub(one, sigma), one));
    return {hn::Mul(d, hn::Mul(second, sigma)), hn::Mul(hn::Mul(d, first), slope)};
  } else if constexpr (kGate == Gate::kGeglu) {  // (b Phi)' = Phi + b Phi'
    const Normal normal = NormalOf(second);
    return {hn::Mul(d, hn::Mul(second, normal.distribution)),
            hn::Mul(hn::Mul(d, first), hn::Add(normal.distribution, normal.moment))};
  } else if constexpr (kGate == Gate::kReglu) {
    return {hn::Mul(d, PositivePart(second)),
            hn::IfThenElseZero(hn::Gt(second, zero), hn::Mul(d, first))};
  } else if constexpr (kGate == Gate::kRelu) {
    return {hn::IfThenElseZero(hn::Gt(first, zero), d), zero};
  } else if constexpr (kGate == Gate::kTanh) {
    return {hn::Mul(d, hn::NegMulAdd(first, first, one)), zero};
  } else {
    return {d, zero};
  }
}

// The blocks of a product, or of what a gate saves, that belong to a channel block; those of an
// unpaired gate are the same.
struct Halves {
  Index a, b;
};
template <Gate kGate>
HWY_INLINE Halves HalvesOf(Index block) {
  if constexpr (is_paired(kGate)) return {2 * block, 2 * block + 1};
  return {block, block};
}

template <Gate kGate>
HWY_INLINE void ForwardStrip(const JunctionView& junction, Index block, Index row, Index rows,
                             Index lane, const float* a, const float* b) {
  constexpr bool kPaired = is_paired(kGate);
  const Halves half = HalvesOf<kGate>(block);
  const Floats scale_a = StripOf(junction.scales, half.a, lane, 1);
  const Floats scale_b = StripOf(junction.scales, half.b, lane, 1);
  const Floats bias_a = StripOf(junction.biases, half.a, lane, 0);
  const Floats bias_b = StripOf(junction.biases, half.b, lane, 0);
  const Floats residual_scale = StripOf(junction.residual_scales, block, lane, 1);
  const Floats residual_bias = StripOf(junction.residual_biases, block, lane, 0);
  const Floats scale = Splat(junction.scale);
  const auto channel = static_cast<std::uint32_t>(block * kBlock + lane);
  const MaskStrip self(junction.self, channel, row), next(junction.next, channel, row);
  const std::int32_t* const token = junction.token + row;
  const float* const residual = Strip(junction.residual, block, row, lane);
  float* const first = kGate == Gate::kLinear ? nullptr : Strip(junction.saved, half.a, row, lane);
  float* const second = kPaired ? Strip(junction.saved, half.b, row, lane) : nullptr;
  float* const stream = Strip(junction.stream, block, row, lane);
  float* const plain = Strip(junction.plain, block, row, lane);
  float* const dropped = Strip(junction.dropped, block, row, lane);
  for (Index r = 0; r < rows; ++r) {
    if (token[r] < 0) continue;
    const Floats z_a = hn::MulAdd(hn::Load(kFloats, a + r * kPanel + lane), scale_a, bias_a);
    Floats z_b = z_a;
    if constexpr (kPaired) {
      z_b = hn::MulAdd(hn::Load(kFloats, b + r * kPanel + lane), scale_b, bias_b);
    }
    const Gated gated = GateForward<kGate>(z_a, z_b);
    StoreRowIf(gated.first, first, r);
    StoreRowIf(gated.second, second, r);
    Floats y = gated.h;
    if (residual != nullptr) {
      y = hn::Add(y, hn::MulAdd(LoadRow(residual, r), residual_scale, residual_bias));
    }
    y = self.Apply(hn::Mul(y, scale), r);
    StoreRowIf(y, stream, r);
    StoreRowIf(y, plain, r);
    if (dropped != nullptr) StoreRow(next.Apply(y, r), dropped, r);
  }
}

template <Gate kGate>
HWY_NOINLINE void ForwardTile(const JunctionView& junction, Index block, Index row, Index rows,
                              const float* a, const float* b) {
  for (Index lane = 0; lane < kBlock; lane += kLanes) {
    ForwardStrip<kGate>(junction, block, row, rows, lane, a, b);
  }
}

template <Gate kGate>
HWY_INLINE void BackwardStrip(const JunctionView& junction, Index block, Index row, Index rows,
                              Index lane, const float* product, const BiasSums& sums) {
  constexpr bool kPaired = is_paired(kGate);
  const Halves half = HalvesOf<kGate>(block);
  const Floats scale_a = StripOf(junction.scales, half.a, lane, 1);
  const Floats scale_b = StripOf(junction.scales, half.b, lane, 1);
  const Floats residual_scale = StripOf(junction.residual_scales, block, lane, 1);
  const Floats scale = Splat(junction.scale);
  const auto channel = static_cast<std::uint32_t>(block * kBlock + lane);
  const MaskStrip self(junction.self, channel, row), next(junction.next, channel, row);
  const std::int32_t* const token = junction.token + row;
  const float* const dy = Strip(junction.dy, block, row, lane);
  const float* const ddropped = Strip(junction.ddropped, block, row, lane);
  const float* const first = Strip(junction.saved, half.a, row, lane);
  const float* const second = Strip(junction.saved, half.b, row, lane);
  float* const dresidual = Strip(junction.dresidual, block, row, lane);
  float* const dz_a = Strip(junction.dz, half.a, row, lane);
  float* const dz_b = Strip(junction.dz, half.b, row, lane);
  const bool adds_residual = junction.adds_residual;
  Floats sum_a = hn::Zero(kFloats), sum_b = sum_a, residual_sum = sum_a;
  for (Index r = 0; r < rows; ++r) {
    if (token[r] < 0) continue;
    Floats d = hn::Load(kFloats, product + r * kPanel + lane);
    if (ddropped != nullptr) d = hn::Add(d, LoadRow(ddropped, r));
    d = next.Apply(d, r);
    if (dy != nullptr) d = hn::Add(d, LoadRow(dy, r));
    d = hn::Mul(self.Apply(d, r), scale);
    if (dresidual != nullptr) {
      residual_sum = hn::Add(residual_sum, d);
      const Floats before = adds_residual ? LoadRow(dresidual, r) : hn::Zero(kFloats);
      StoreRow(hn::MulAdd(d, residual_scale, before), dresidual, r);
    }
    if (dz_a == nullptr) continue;
    Floats saved_first = d, saved_second = d;
    if constexpr (kGate != Gate::kLinear) saved_first = LoadRow(first, r);
    if constexpr (kPaired) saved_second = LoadRow(second, r);
    const GateGradient gradient = GateBackward<kGate>(d, saved_first, saved_second);
    sum_a = hn::Add(sum_a, gradient.a);
    StoreRow(hn::Mul(gradient.a, scale_a), dz_a, r);
    if constexpr (kPaired) {
      sum_b = hn::Add(sum_b, gradient.b);
      StoreRow(hn::Mul(gradient.b, scale_b), dz_b, r);
    }
  }
  AddTo(residual_sum, Strip(sums.residual, block, lane));
  AddTo(sum_a, Strip(sums.producer, half.a, lane));
  if constexpr (kPaired) AddTo(sum_b, Strip(sums.producer, half.b, lane));
}

template <Gate kGate>
HWY_NOINLINE void BackwardTile(const JunctionView& junction, Index block, Index row, Index rows,
                               const float* product, const BiasSums& sums) {
  for (Index lane = 0; lane < kBlock; lane += kLanes) {
    BackwardStrip<kGate>(junction, block, row, rows, lane, product, sums);
  }
}

inline void JunctionForward(const JunctionView& junction, Index block, Index row, Index rows,
                            const float* a, const float* b) {
  switch (junction.gate) {
    case Gate::kLinear:
      return ForwardTile<Gate::kLinear>(junction, block, row, rows, a, b);
    case Gate::kGlu:
      return ForwardTile<Gate::kGlu>(junction, block, row, rows, a, b);
    case Gate::kGtu:
      return ForwardTile<Gate::kGtu>(junction, block, row, rows, a, b);
    case Gate::kBilinear:
      return ForwardTile<Gate::kBilinear>(junction, block, row, rows, a, b);
    case Gate::kSwiglu:
      return ForwardTile<Gate::kSwiglu>(junction, block, row, rows, a, b);
    case Gate::kGeglu:
      return ForwardTile<Gate::kGeglu>(junction, block, row, rows, a, b);
    case Gate::kReglu:
      return ForwardTile<Gate::kReglu>(junction, block, row, rows, a, b);
    case Gate::kRelu:
      return ForwardTile<Gate::kRelu>(junction, block, row, rows, a, b);
    case Gate::kTanh:
      return ForwardTile<Gate::kTanh>(junction, block, row, rows, a, b);
  }
}

inline void JunctionBackward(const JunctionView& junction, Index block, Index row, Index rows,
                             const float* product, const BiasSums& sums) {
  switch (junction.gate) {
    case Gate::kLinear:
      return BackwardTile<Gate::kLinear>(junction, block, row, rows, product, sums);
    case Gate::kGlu:
      return BackwardTile<Gate::kGlu>(junction, block, row, rows, product, sums);
    case Gate::kGtu:
      return BackwardTile<Gate::kGtu>(junction, block, row, rows, product, sums);
    case Gate::kBilinear:
      return BackwardTile<Gate::kBilinear>(junction, block, row, rows, product, sums);
    case Gate::kSwiglu:
      return BackwardTile<Gate::kSwiglu>(junction, block, row, rows, product, sums);
    case Gate::kGeglu:
      return BackwardTile<Gate::kGeglu>(junction, block, row, rows, product, sums);
    case Gate::kReglu:
      return BackwardTile<Gate::kReglu>(junction, block, row, rows, product, sums);
    case Gate::kRelu:
      return BackwardTile<Gate::kRelu>(junction, block, row, rows, product, sums);
    case Gate::kTanh:
      return BackwardTile<Gate::kTanh>(junction, block, row, rows, product, sums);
  }
}

inline void MaskSquare(const DropoutMask& mask, std::uint32_t column, const float* in, float* out) {
  for (Index lane = 0; lane < kBlock; lane += kLanes) {
    const MaskStrip strip(mask, column + static_cast<std::uint32_t>(lane), 0);
    for (Index row = 0; row < kBlock; ++row) {
      StoreRow(strip.Apply(LoadRow(in + lane, row), row), out + lane, row);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
