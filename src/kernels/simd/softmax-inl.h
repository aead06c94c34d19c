// The softmax and the few products with single rows (kernels.h says what each function does).
#if defined(SLUICE_KERNELS_SIMD_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_SOFTMAX_INL_H_
#undef SLUICE_KERNELS_SIMD_SOFTMAX_INL_H_
#else
#define SLUICE_KERNELS_SIMD_SOFTMAX_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "kernels.h"
#include "math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {

inline constexpr float kNoWord = -std::numeric_limits<float>::infinity();

// Sums numbers from [0, 1] as if in double: one term near 1 must not hide the others. What each
// addition rounds off is exact, and summed, too, as long as the running sum is the larger operand
// (Dekker 1971): it starts at 1, which Total() takes off again.
struct UnitSum {
  Floats sum, lost;

  // Not initialisers of the members: g++ compiles those without the instruction set.
  HWY_INLINE UnitSum() : sum(Splat(1)), lost(hn::Zero(kFloats)) {}
  HWY_INLINE void Add(Floats x) {
    const Floats next = hn::Add(sum, x);
    lost = hn::Add(lost, hn::Sub(x, hn::Sub(next, sum)));
    sum = next;
  }
  HWY_INLINE double Total() const {
    constexpr hn::ScalableTag<double> doubles;
    constexpr hn::Half<FloatTag> half;
    const auto one = hn::Set(doubles, 1);
    const auto low = hn::Sub(hn::PromoteTo(doubles, hn::LowerHalf(half, sum)), one);
    const auto high = hn::Sub(hn::PromoteTo(doubles, hn::UpperHalf(half, sum)), one);
    const auto rest = hn::Add(hn::PromoteTo(doubles, hn::LowerHalf(half, lost)),
                              hn::PromoteTo(doubles, hn::UpperHalf(half, lost)));
    return hn::GetLane(hn::SumOfLanes(doubles, hn::Add(hn::Add(low, high), rest)));
  }
};

// What is taken off the logits: their maximum, but where all are -infinity their exponentials are
// 0 and not NaN.
HWY_INLINE float ShiftOf(float max) { return max == kNoWord ? 0 : max; }

// The last, incomplete vector of an array, filled up.
class Rest {
 public:
  HWY_INLINE Rest(const float* values, Index count) : count_(count) {
    hn::Store(Splat(kNoWord), kFloats, lanes_);
    std::copy_n(values, count, lanes_);
  }
  HWY_INLINE Floats Load() const { return hn::Load(kFloats, lanes_); }
  HWY_INLINE void Store(Floats changed, float* values) {
    hn::Store(changed, kFloats, lanes_);
    std::copy_n(lanes_, count_, values);
  }

 private:
  Index count_;
  alignas(64) float lanes_[kLanes];
};

HWY_INLINE void RowMaxima(const float* z, Index panels, Index rows, float* max) {
  HWY_ALIGN float largest[kMostRows * kLanes];
  for (Index r = 0; r < rows; ++r) hn::Store(Splat(kNoWord), kFloats, largest + r * kLanes);
  for (Index panel = 0; panel < panels; ++panel) {
    for (Index r = 0; r < rows; ++r) {
      const float* logits = z + (panel * kMostRows + r) * kPanel;
      Floats m = hn::Load(kFloats, largest + r * kLanes);
      for (Index i = 0; i < kPanel; i += kLanes) m = hn::Max(m, hn::Load(kFloats, logits + i));
      hn::Store(m, kFloats, largest + r * kLanes);
    }
  }
  for (Index r = 0; r < rows; ++r) {
    max[r] = hn::GetLane(hn::MaxOfLanes(kFloats, hn::Load(kFloats, largest + r * kLanes)));
  }
}

// Panel after panel, so that z and out are read and written as they lie in memory.
template <bool kKeep>
HWY_NOINLINE void ExponentialsOf(const float* z, Index panels, Index rows, float* max, double* sum,
                                 float* out, Index pitch) {
  RowMaxima(z, panels, rows, max);
  UnitSum sums[kMostRows];
  for (Index panel = 0; panel < panels; ++panel) {
    for (Index r = 0; r < rows; ++r) {
      const float* logits = z + (panel * kMostRows + r) * kPanel;
      const Floats shift = Splat(ShiftOf(max[r]));
      UnitSum row_sum = sums[r];
      for (Index i = 0; i < kPanel; i += kLanes) {
        const Floats e = Exp(hn::Sub(hn::Load(kFloats, logits + i), shift));
        row_sum.Add(e);
        if constexpr (kKeep) {
          const Index block = 2 * panel + i / kBlock;
          hn::Store(e, kFloats, out + block * pitch + r * kBlock + i % kBlock);
        }
      }
      sums[r] = row_sum;
    }
  }
  for (Index r = 0; r < rows; ++r) sum[r] = sums[r].Total();
}

inline void Exponentials(const float* z, Index panels, Index rows, float* max, double* sum,
                         float* out, Index pitch) {
  if (out == nullptr) {
    ExponentialsOf<false>(z, panels, rows, max, sum, out, pitch);
  } else {
    ExponentialsOf<true>(z, panels, rows, max, sum, out, pitch);
  }
}

inline void ShiftLogits(float* z, Index rows, const float* scales, const float* biases) {
  for (Index i = 0; i < kPanel; i += kLanes) {
    const Floats scale = scales == nullptr ? Splat(1) : hn::Load(kFloats, scales + i);
    const Floats bias = biases == nullptr ? Splat(0) : hn::Load(kFloats, biases + i);
    for (Index r = 0; r < rows; ++r) {
      float* logits = z + r * kPanel + i;
      hn::Store(hn::MulAdd(hn::Load(kFloats, logits), scale, bias), kFloats, logits);
    }
  }
}

inline void ScaleRows(float* block, Index rows, const float* factors) {
  for (Index r = 0; r < rows; ++r) {
    const bool none = factors[r] == 0;
    for (Index i = 0; i < kBlock; i += kLanes) {
      float* values = block + r * kBlock + i;
      const Floats scaled =
          none ? hn::Zero(kFloats) : hn::Mul(hn::Load(kFloats, values), Splat(factors[r]));
      hn::Store(scaled, kFloats, values);
    }
  }
}

inline void AddColumns(const float* block, Index rows, float* sums) {
  for (Index i = 0; i < kBlock; i += kLanes) {
    // Two sums, so that an addition need not wait for the one before.
    Floats even = hn::Zero(kFloats), odd = even;
    Index r = 0;
    for (; r + 1 < rows; r += 2) {
      even = hn::Add(even, hn::Load(kFloats, block + r * kBlock + i));
      odd = hn::Add(odd, hn::Load(kFloats, block + (r + 1) * kBlock + i));
    }
    if (r < rows) even = hn::Add(even, hn::Load(kFloats, block + r * kBlock + i));
    const Floats total = hn::Add(hn::LoadU(kFloats, sums + i), hn::Add(even, odd));
    hn::StoreU(total, kFloats, sums + i);
  }
}

// As many words at a time as there are registers for.
template <Index kWordCount>
HWY_INLINE void DotSomeWords(const float* squares, const float* x, Index x_pitch,
                             Index squares_per_row, float* out) {
  Floats sums[kWordCount];
  for (Floats& sum : sums) sum = hn::Zero(kFloats);
  for (Index square = 0; square < squares_per_row; ++square) {
    for (Index i = 0; i < kBlock; i += kLanes) {
      const Floats factor = hn::LoadU(kFloats, x + square * x_pitch + i);
      const float* values = squares + square * kSquare + i;
      HWY_UNROLL(16)
      for (Index word = 0; word < kWordCount; ++word) {
        sums[word] = hn::MulAdd(hn::Load(kFloats, values + word * kBlock), factor, sums[word]);
      }
    }
  }
  HWY_UNROLL(16)
  for (Index word = 0; word < kWordCount; ++word) {
    out[word] = hn::GetLane(hn::SumOfLanes(kFloats, sums[word]));
  }
}

inline void DotWords(const float* squares, const float* x, Index x_pitch, Index squares_per_row,
                     float* out) {
  constexpr Index kWordCount = kLanes == 8 ? 8 : 16;  // AVX2 has 16 registers, the others 32
  for (Index word = 0; word < kBlock; word += kWordCount) {
    DotSomeWords<kWordCount>(squares + word * kBlock, x, x_pitch, squares_per_row, out + word);
  }
}

inline float Largest(const float* values, Index size) {
  const Index whole = size / kLanes * kLanes;
  Floats largest = Rest(values + whole, size - whole).Load();
  for (Index i = 0; i < whole; i += kLanes) {
    largest = hn::Max(largest, hn::LoadU(kFloats, values + i));
  }
  return hn::GetLane(hn::MaxOfLanes(kFloats, largest));
}

inline double ExponentialSum(const float* values, Index size, float max) {
  const Index whole = size / kLanes * kLanes;
  const Floats shift = Splat(ShiftOf(max));
  UnitSum even, odd;
  Index i = 0;
  for (; i + kLanes < whole; i += 2 * kLanes) {
    even.Add(Exp(hn::Sub(hn::LoadU(kFloats, values + i), shift)));
    odd.Add(Exp(hn::Sub(hn::LoadU(kFloats, values + i + kLanes), shift)));
  }
  if (i < whole) even.Add(Exp(hn::Sub(hn::LoadU(kFloats, values + i), shift)));
  odd.Add(Exp(hn::Sub(Rest(values + whole, size - whole).Load(), shift)));
  return even.Total() + odd.Total();
}

inline double Tempered(const float* values, Index size, float max, float factor, float* out) {
  const Index whole = size / kLanes * kLanes;
  const Floats shift = Splat(ShiftOf(max)), inverse = Splat(factor);
  UnitSum sum;
  for (Index i = 0; i < whole; i += kLanes) {
    const Floats log = hn::Mul(hn::Sub(hn::LoadU(kFloats, values + i), shift), inverse);
    const Floats e = Exp(AtMost(log, 0));
    sum.Add(e);
    hn::StoreU(e, kFloats, out + i);
  }
  Rest rest(values + whole, size - whole);
  const Floats e = Exp(AtMost(hn::Mul(hn::Sub(rest.Load(), shift), inverse), 0));
  sum.Add(e);
  rest.Store(e, out + whole);
  return sum.Total();
}

// In two steps: the sum of both would round to the last place of a large maximum.
inline void Subtract(float* values, Index size, float max, float log_sum) {
  const Index whole = size / kLanes * kLanes;
  const Floats first = Splat(max), second = Splat(log_sum);
  for (Index i = 0; i < whole; i += kLanes) {
    const Floats value = hn::LoadU(kFloats, values + i);
    hn::StoreU(hn::Sub(hn::Sub(value, first), second), kFloats, values + i);
  }
  Rest rest(values + whole, size - whole);
  rest.Store(hn::Sub(hn::Sub(rest.Load(), first), second), values + whole);
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
