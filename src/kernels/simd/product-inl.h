// Products: a block of 16 outputs is 16 / lanes vectors, a row's accumulators stay in registers.
#if defined(SLUICE_KERNELS_SIMD_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_PRODUCT_INL_H_
#undef SLUICE_KERNELS_SIMD_PRODUCT_INL_H_
#else
#define SLUICE_KERNELS_SIMD_PRODUCT_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "kernels.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using ProductTag = hn::ScalableTag<float>;
using ProductVector = hn::Vec<ProductTag>;
inline constexpr int kProductLanes = HWY_LANES(float);
inline constexpr int kVectors = static_cast<int>(kBlock) / kProductLanes;  // of one block

// What fits the registers: accumulators, the vectors of b, one broadcast number of a. AVX-512 has
// room for both halves of a panel; the others make one half after the other.
#if HWY_TARGET == HWY_AVX3
inline constexpr int kStepRows = 14, kStepHalves = 2, kGradientRows = 8;
inline constexpr Index kTileRows = 28;
#else
inline constexpr int kStepRows = 6, kStepHalves = 1, kGradientRows = 4;
inline constexpr Index kTileRows = 24;
#endif

// Accumulators of kRows rows by kHalves blocks. Loops over them must be unrolled completely: only
// then does GCC keep the array in registers.
template <int kRows, int kHalves>
struct Accumulators {
  static constexpr int kColumns = kHalves * kVectors;

  // out: of the first half; rows and halves that far apart.
  HWY_INLINE void Load(const float* out, Index row_pitch, Index half_pitch, bool add) {
    const ProductTag d;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kColumns; ++v) {
        sums[r][v] = add ? hn::LoadU(d, out + r * row_pitch + Offset(v, half_pitch)) : hn::Zero(d);
      }
    }
  }
  HWY_INLINE void Store(float* out, Index row_pitch, Index half_pitch) const {
    const ProductTag d;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kColumns; ++v) {
        hn::StoreU(sums[r][v], d, out + r * row_pitch + Offset(v, half_pitch));
      }
    }
  }
  // Adds a[r * pitch] * the block at b (of the second half: at second).
  HWY_INLINE void AddProducts(const float* a, Index pitch, const float* b, const float* second) {
    const ProductTag d;
    ProductVector columns[kColumns];
#pragma GCC unroll 16
    for (int v = 0; v < kColumns; ++v) {
      columns[v] = hn::LoadU(d, (v < kVectors ? b : second) + v % kVectors * kProductLanes);
    }
    AddProducts(a, pitch, columns);
  }
  // Adds a[r * pitch] * columns.
  HWY_INLINE void AddProducts(const float* a, Index pitch, const ProductVector* columns) {
    const ProductTag d;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const ProductVector x = hn::Set(d, a[r * pitch]);
#pragma GCC unroll 16
      for (int v = 0; v < kColumns; ++v) sums[r][v] = hn::MulAdd(x, columns[v], sums[r][v]);
    }
  }
  static constexpr Index Offset(int v, Index half_pitch) {
    return v / kVectors * half_pitch + v % kVectors * kProductLanes;
  }

  ProductVector sums[kRows][kColumns];
};

// Rows [row, row + kRows) of a tile, and of its columns kHalves blocks from `half` on. Not inlined:
// in a larger function GCC runs out of registers.
template <int kRows, int kHalves>
HWY_NOINLINE void ProductStep(const ProductTile& tile, Index row, Index half) {
  // Hardware fetches no further than to the end of a page of 4 KB. Free next to many products, but
  // where b is in the second-level cache and vectors are short it costs 3 %.
  constexpr bool kFetches = kHalves == 2 || kRows <= 4;
  constexpr Index kAhead = 2 * kPair;
  Accumulators<kRows, kHalves> sums;
  float* out = tile.out + row * kPanel + half * kBlock;
  sums.Load(out, kPanel, kBlock, tile.add);
  for (Index chunk = 0; chunk < tile.chunks; ++chunk) {
    const float* a = tile.a + chunk * tile.a_chunk + row * kBlock;
    const float* b = tile.b + chunk * tile.b_chunk + half * kSquare;
    for (Index tap = 0; tap < tile.taps; ++tap) {
#pragma GCC unroll 1
      for (Index input = 0; input < kBlock; input += 2) {
#pragma GCC unroll 2
        for (Index k = input; k < input + 2; ++k) {
          const float* line = b + k * kBlock;
          if constexpr (kFetches) {
            hwy::Prefetch(line + kAhead);
            if constexpr (kHalves == 2) hwy::Prefetch(line + kSquare + kAhead);
          }
          sums.AddProducts(a + k, kBlock, line, line + kSquare);
        }
      }
      a += tile.a_tap;
      b += kPair;
    }
  }
  sums.Store(out, kPanel, kBlock);
}

template <int kRows, int kHalves = kStepHalves>
void ProductRows(const ProductTile& tile, Index row) {
  for (Index half = 0; half < 2; half += kHalves) ProductStep<kRows, kHalves>(tile, row, half);
}

inline void Product(const ProductTile& tile) {
  Index row = 0;
  for (; tile.rows - row >= kStepRows; row += kStepRows) ProductRows<kStepRows>(tile, row);
  // One or two rows are bound by reading b: both halves at once, in the order of memory.
  switch (tile.rows - row) {
    case 0:
      return;
    case 1:
      return ProductRows<1, 2>(tile, row);
    case 2:
      return ProductRows<2, 2>(tile, row);
    case 3:
    case 4:
      return ProductRows<4>(tile, row);
#if HWY_TARGET == HWY_AVX3
    case 5:
    case 6:
    case 7:
    case 8:
      return ProductRows<8>(tile, row);
#endif
    default:
      return ProductRows<kStepRows>(tile, row);
  }
}

// Rows c .. c + kGradientRows of `half` of a gradient.
template <int kHalves>
HWY_NOINLINE void GradientStep(const GradientTile& tile, Index c, Index half) {
  Accumulators<kGradientRows, kHalves> sums;
  float* out = tile.out + half * kSquare + c * kBlock;
  sums.Load(out, kBlock, kSquare, tile.add);
  const float* x = tile.x + c;
  const float *first = tile.y[half], *second = tile.y[1];
#pragma GCC unroll 2
  for (Index m = 0; m < tile.rows; ++m) {
    sums.AddProducts(x + m * kBlock, 1, first + m * kBlock, second + m * kBlock);
  }
  sums.Store(out, kBlock, kSquare);
}

inline void Gradient(const GradientTile& tile) {
  for (Index half = 0; half < 2; half += kStepHalves) {
    for (Index c = 0; c < kBlock; c += kGradientRows) GradientStep<kStepHalves>(tile, c, half);
  }
}

// Four numbers each of rows 0, 4, ... from `in` on: as many as fit a vector.
HWY_INLINE ProductVector LoadQuarters(const float* in) {
  const hn::FixedTag<float, 4> d4;
#if HWY_TARGET == HWY_AVX3
  const hn::FixedTag<float, 8> d8;
  const auto at = [&](Index row) { return hn::LoadU(d4, in + row * kBlock); };
  return hn::Combine(ProductTag(), hn::Combine(d8, at(12), at(8)), hn::Combine(d8, at(4), at(0)));
#elif HWY_TARGET == HWY_AVX2
  return hn::Combine(ProductTag(), hn::LoadU(d4, in + 4 * kBlock), hn::LoadU(d4, in));
#else
  return hn::LoadU(d4, in);
#endif
}

// Within each 128 bits of a vector, 4 x 4 numbers are transposed; loads put the rest in place.
inline void Transpose(const float* in, float* out) {
  const ProductTag d;
  const hn::Repartition<std::uint64_t, ProductTag> pairs;
  const auto store = [&](auto rows, Index row, Index column) {
    hn::StoreU(hn::BitCast(d, rows), d, out + row * kBlock + column);
  };
  for (Index row = 0; row < kBlock; row += kProductLanes) {
    for (Index column = 0; column < kBlock; column += 4) {
      const float* corner = in + row * kBlock + column;
      const ProductVector v0 = LoadQuarters(corner), v1 = LoadQuarters(corner + kBlock);
      const ProductVector v2 = LoadQuarters(corner + 2 * kBlock);
      const ProductVector v3 = LoadQuarters(corner + 3 * kBlock);
      const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, v0, v1));
      const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, v2, v3));
      const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, v0, v1));
      const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, v2, v3));
      store(hn::InterleaveLower(pairs, low01, low23), column, row);
      store(hn::InterleaveUpper(pairs, low01, low23), column + 1, row);
      store(hn::InterleaveLower(pairs, high01, high23), column + 2, row);
      store(hn::InterleaveUpper(pairs, high01, high23), column + 3, row);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
