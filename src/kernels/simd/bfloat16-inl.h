// bfloat16 on vectors: floats to tiles' operands, and what tiles do for CPUs that have none.
#if defined(SLUICE_KERNELS_SIMD_BFLOAT16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_BFLOAT16_INL_H_
#undef SLUICE_KERNELS_SIMD_BFLOAT16_INL_H_
#else
#define SLUICE_KERNELS_SIMD_BFLOAT16_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "kernels.h"
#include "product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {

using WordTag = hn::RebindToUnsigned<ProductTag>;
using WordVector = hn::Vec<WordTag>;

// A bfloat16 is the upper half of a float.
HWY_INLINE WordVector UpperHalf(WordVector words) {
  return hn::And(words, hn::Set(WordTag(), 0xFFFF0000U));
}

// The nearest bfloat16 in the upper halves. Adding half a unit would carry a NaN on to infinity.
HWY_INLINE WordVector Nearest(ProductVector x) {
  const WordTag words;
  const ProductTag d;
  const WordVector bits = hn::BitCast(words, x);
  const WordVector tie = hn::And(hn::ShiftRight<16>(bits), hn::Set(words, 1));
  const WordVector rounded = hn::Add(bits, hn::Add(tie, hn::Set(words, 0x7FFF)));
  const WordVector quiet = hn::Or(bits, hn::Set(words, 0x400000));
  return hn::BitCast(words,
                     hn::IfThenElse(hn::IsNaN(x), hn::BitCast(d, quiet), hn::BitCast(d, rounded)));
}

template <Part kPart>
HWY_INLINE WordVector Narrow(ProductVector x) {
  const WordVector high = Nearest(x);
  if constexpr (kPart == Part::kHigh) return high;
  const ProductVector kept = hn::BitCast(ProductTag(), UpperHalf(high));
  return Nearest(hn::IfThenElseZero(hn::IsFinite(kept), hn::Sub(x, kept)));
}

template <Part kPart>
HWY_INLINE WordVector NarrowPair(ProductVector first, ProductVector second) {
  return hn::Or(hn::ShiftRight<16>(Narrow<kPart>(first)), UpperHalf(Narrow<kPart>(second)));
}

template <Part kPart>
HWY_INLINE void NarrowBlock(const float* in, Bfloat16* out) {
  const ProductTag d;
  const hn::Repartition<Bfloat16, ProductTag> halves;
  // AVX-512 has a block in one vector: its other half comes out unused.
  for (int v = 0; v < kVectors; v += 2) {
    const auto load = [&](int at) {
      return hn::BitCast(halves, Narrow<kPart>(hn::LoadU(d, in + at * kProductLanes)));
    };
    if constexpr (kVectors == 1) {
      const auto words = load(0);
      const hn::Half<decltype(halves)> half;
      hn::StoreU(hn::LowerHalf(half, hn::ConcatOdd(halves, words, words)), half, out);
    } else {
      hn::StoreU(hn::ConcatOdd(halves, load(v + 1), load(v)), halves, out + v * kProductLanes);
    }
  }
}

template <Part kPart>
void NarrowLines(const float* low, const float* high, Index rows, Bfloat16* out) {
  for (Index r = 0; r < rows; ++r) {
    Bfloat16* line = out + r * kLine;
    NarrowBlock<kPart>(low + r * kBlock, line);
    if (high != nullptr) {
      NarrowBlock<kPart>(high + r * kBlock, line + kBlock);
    } else {
      std::fill_n(line + kBlock, kBlock, Bfloat16{0});
    }
  }
}

template <Part kPart>
void NarrowRowPairs(const float* block, Index pairs, Bfloat16* out) {
  const ProductTag d;
  const hn::Repartition<Bfloat16, ProductTag> halves;
  for (Index at = 0; at < pairs * kBlock; at += kBlock) {
    const float* row = block + 2 * at;
    for (Index v = 0; v < kBlock; v += kProductLanes) {
      const WordVector words = hn::Or(hn::ShiftRight<16>(Narrow<kPart>(hn::LoadU(d, row + v))),
                                      UpperHalf(Narrow<kPart>(hn::LoadU(d, row + kBlock + v))));
      hn::StoreU(hn::BitCast(halves, words), halves, out + 2 * (at + v));
    }
  }
}

template <Part kPart>
void NarrowTransposed(const float* block, Index steps, Bfloat16* out) {
  alignas(64) Bfloat16 pairs[kTile];
  for (Index s = 0; s < steps; ++s) {
    NarrowRowPairs<kPart>(block + s * kLine * kBlock, kLine / 2, pairs);
    // Pairs are moved as if they were floats.
    Transpose(reinterpret_cast<const float*>(pairs), reinterpret_cast<float*>(out + s * kTile));
  }
}

template <Part kPart>
void NarrowColumnPairs(const float* square, Bfloat16* out) {
  alignas(64) float columns[kSquare];
  Transpose(square, columns);
  NarrowRowPairs<kPart>(columns, kBlock / 2, out);
}

inline void LinesTo(const float* low, const float* high, Index rows, Part part, Bfloat16* out) {
  part == Part::kHigh ? NarrowLines<Part::kHigh>(low, high, rows, out)
                      : NarrowLines<Part::kLow>(low, high, rows, out);
}
inline void TransposedTo(const float* block, Index steps, Part part, Bfloat16* out) {
  part == Part::kHigh ? NarrowTransposed<Part::kHigh>(block, steps, out)
                      : NarrowTransposed<Part::kLow>(block, steps, out);
}
inline void RowPairsTo(const float* block, Index pairs, Part part, Bfloat16* out) {
  part == Part::kHigh ? NarrowRowPairs<Part::kHigh>(block, pairs, out)
                      : NarrowRowPairs<Part::kLow>(block, pairs, out);
}
inline void ColumnPairsTo(const float* square, Part part, Bfloat16* out) {
  part == Part::kHigh ? NarrowColumnPairs<Part::kHigh>(square, out)
                      : NarrowColumnPairs<Part::kLow>(square, out);
}

// One step's operands as floats: of lines, numbers at even places and numbers at odd places.
struct StepOperands {
  alignas(64) float a[2][2 * kSquare];
  alignas(64) float b[2][2][kSquare];
};

inline void Widen(const Bfloat16* lines, Index count, float* even, float* odd) {
  const ProductTag d;
  const WordTag words;
  const hn::Repartition<Bfloat16, ProductTag> halves;
  for (Index i = 0; i < count * kBlock; i += kProductLanes) {
    const WordVector pairs = hn::BitCast(words, hn::LoadU(halves, lines + 2 * i));
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(pairs)), d, even + i);
    hn::StoreU(hn::BitCast(d, UpperHalf(pairs)), d, odd + i);
  }
}

// As many registers as sums of one parity take; those of the other wait in memory.
inline constexpr int kTileStepRows = HWY_TARGET == HWY_AVX3 ? 8 : 6;

// Adds a step's sums to kRows rows of kHalves halves from `out` on.
template <int kRows, int kHalves>
HWY_NOINLINE void TileStep(const StepOperands& in, Index row, Index half, float* out,
                           Index row_pitch, Index half_pitch) {
  constexpr int kColumns = kHalves * kVectors;
  const ProductTag d;
  alignas(64) float even[kRows * kPanel];
  Accumulators<kRows, kHalves> sums;
  for (int parity = 0; parity < 2; ++parity) {
    const float *a = in.a[parity] + row * kBlock, *b = in.b[parity][half];
    const float* second = in.b[parity][1];
    sums.Load(nullptr, 0, 0, false);
#pragma GCC unroll 2
    for (Index i = 0; i < kBlock; ++i) {
      sums.AddProducts(a + i, kBlock, b + i * kBlock, second + i * kBlock);
    }
    if (parity == 0) sums.Store(even, kPanel, kBlock);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kColumns; ++v) {
      float* to = out + r * row_pitch + sums.Offset(v, half_pitch);
      const ProductVector first = hn::LoadU(d, even + r * kPanel + sums.Offset(v, kBlock));
      hn::StoreU(hn::Add(hn::LoadU(d, to), hn::Add(first, sums.sums[r][v])), d, to);
    }
  }
}

// rows: a multiple of 4, with AVX-512 of 8. half: the first of kHalves.
template <int kHalves>
void TileRows(const StepOperands& in, Index rows, Index half, float* out, Index row_pitch,
              Index half_pitch) {
  Index row = 0;
  for (Index left = rows; left > 0; left = rows - row) {
    float* to = out + row * row_pitch;
    if (left >= kTileStepRows && (kTileStepRows == 8 || left != 8)) {
      TileStep<kTileStepRows, kHalves>(in, row, half, to, row_pitch, half_pitch);
      row += kTileStepRows;
    } else {
      TileStep<4, kHalves>(in, row, half, to, row_pitch, half_pitch);
      row += 4;
    }
  }
}

inline void TileProductOf(const TileProduct& tile) {
  const Index rows = (tile.rows + 7) / 8 * 8;
  if (!tile.add) std::fill_n(tile.out, rows * kPanel, 0.0F);
  StepOperands in;
  for (Index chunk = 0; chunk < tile.chunks; ++chunk) {
    for (Index tap = 0; tap < tile.taps; ++tap) {
      Widen(tile.a + chunk * tile.a_chunk + tap * tile.a_tap, rows, in.a[0], in.a[1]);
      const Bfloat16* b = tile.b + chunk * tile.b_chunk + tap * kTilePair;
      for (Index half = 0; half < 2; ++half) {
        Widen(b + half * kTile, kBlock, in.b[0][half], in.b[1][half]);
      }
      for (Index half = 0; half < 2; half += kStepHalves) {
        TileRows<kStepHalves>(in, rows, half, tile.out + half * kBlock, kPanel, kBlock);
      }
    }
    if (tile.aside.step != nullptr) tile.aside.step(tile.aside.state, chunk);
  }
}

inline void TileGradientOf(const TileGradient& tile) {
  for (const auto& row : tile.out) {
    for (float* out : row) {
      if (out != nullptr && !tile.add) std::fill_n(out, kSquare, 0.0F);
    }
  }
  StepOperands in;
  for (Index s = 0; s < tile.steps; ++s) {
    for (int n = 0; n < 2; ++n) {
      if (tile.out[0][n] == nullptr && tile.out[1][n] == nullptr) continue;
      Widen(tile.y[n] + s * kTile, kBlock, in.b[0][n], in.b[1][n]);
    }
    for (int m = 0; m < 2; ++m) {
      if (tile.out[m][0] == nullptr && tile.out[m][1] == nullptr) continue;
      Widen(tile.x[m] + s * kTile, kBlock, in.a[0], in.a[1]);
      for (int n = 0; n < 2; ++n) {
        if (float* out = tile.out[m][n]) TileRows<1>(in, kBlock, n, out, kBlock, 0);
      }
    }
  }
}

inline void NoTiles() {}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
