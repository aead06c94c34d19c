// Products of a few rows with weights in fewer bits, which become floats in registers.
#if defined(SLUICE_KERNELS_SIMD_NARROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SLUICE_KERNELS_SIMD_NARROW_INL_H_
#undef SLUICE_KERNELS_SIMD_NARROW_INL_H_
#else
#define SLUICE_KERNELS_SIMD_NARROW_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "kernels.h"
#include "product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {

// How a line of 32 weights, those of one input, is read. kLine: its codes. kSums: sums per output,
// of inputs that take turns. One is enough where reading or converting takes as long as an addition
// has to wait for the one before; then the order is that of Product, and so are the bits.
// kMostRows: of a step.
struct Bfloat16Line {
  using Code = Bfloat16Pair;
  static constexpr Index kLine = kBlock;
  static constexpr int kSums = 1, kMostRows = HWY_TARGET == HWY_AVX3 ? 8 : 6;
  static constexpr bool kScaled = false;

  template <int kHalves>
  static HWY_INLINE void Load(const Code* line, Index half, ProductVector* columns) {
    const hn::RebindToUnsigned<ProductTag> words;
    const ProductTag d;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const auto pairs = hn::LoadU(words, line + v * kProductLanes);
      const auto low = hn::BitCast(d, hn::ShiftLeft<16>(pairs));
      const auto high = hn::BitCast(d, hn::And(pairs, hn::Set(words, 0xFFFF0000U)));
      if constexpr (kHalves == 2) {
        columns[v] = low;
        columns[kVectors + v] = high;
      } else {
        columns[v] = half == 0 ? low : high;
      }
    }
  }
};

struct Int8Line {
  using Code = std::int8_t;
  static constexpr Index kLine = kPanel;
  static constexpr int kSums = HWY_TARGET == HWY_AVX3 ? 2 : 1, kMostRows = 6;
  static constexpr bool kScaled = true;

  template <int kHalves>
  static HWY_INLINE void Load(const Code* line, Index half, ProductVector* columns) {
    const ProductTag d;
    const hn::RebindToSigned<ProductTag> ints;
    const hn::Rebind<std::int8_t, ProductTag> bytes;
#pragma GCC unroll 16
    for (int v = 0; v < kHalves * kVectors; ++v) {
      const auto codes = hn::LoadU(bytes, line + half * kBlock + v * kProductLanes);
      columns[v] = hn::ConvertTo(d, hn::PromoteTo(ints, codes));
    }
  }
};

// As ProductStep.
template <class Line, int kRows, int kHalves>
HWY_NOINLINE void NarrowStep(const NarrowTile<typename Line::Code>& tile, Index row, Index half) {
  constexpr int kColumns = kHalves * kVectors, kSums = Line::kSums;
  constexpr Index kCacheLine = 64 / static_cast<Index>(sizeof(typename Line::Code));
  constexpr Index kAhead = 64 * kCacheLine;
  const ProductTag d;
  Accumulators<kRows, kHalves> sums[kSums];
#pragma GCC unroll 2
  for (int s = 0; s < kSums; ++s) sums[s].Load(nullptr, 0, 0, false);
  const auto* line = tile.b;
  for (Index chunk = 0; chunk < tile.chunks; ++chunk) {
    const float* a = tile.a + chunk * tile.a_chunk + row * kBlock;
#pragma GCC unroll 1
    for (Index input = 0; input < kBlock; input += 2) {
#pragma GCC unroll 2
      for (Index i = 0; i < 2 * Line::kLine; i += kCacheLine) hwy::Prefetch(line + kAhead + i);
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        ProductVector columns[kColumns];
        Line::template Load<kHalves>(line + i * Line::kLine, half, columns);
        sums[i % kSums].AddProducts(a + input + i, kBlock, columns);
      }
      line += 2 * Line::kLine;
    }
  }
  float* out = tile.out + row * kPanel + half * kBlock;
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kColumns; ++v) {
      ProductVector sum = sums[0].sums[r][v];
      if constexpr (kSums == 2) sum = hn::Add(sum, sums[1].sums[r][v]);
      if constexpr (Line::kScaled) {
        sum = hn::Mul(sum, hn::LoadU(d, tile.scales + half * kBlock + v * kProductLanes));
      }
      hn::StoreU(sum, d, out + r * kPanel + v * kProductLanes);
    }
  }
}

template <class Line, int kRows, int kHalves = kStepHalves>
void NarrowRows(const NarrowTile<typename Line::Code>& tile, Index row) {
  for (Index half = 0; half < 2; half += kHalves) NarrowStep<Line, kRows, kHalves>(tile, row, half);
}

template <class Line>
void NarrowProduct(const NarrowTile<typename Line::Code>& tile) {
  Index row = 0;
  for (; tile.rows - row >= Line::kMostRows; row += Line::kMostRows) {
    NarrowRows<Line, Line::kMostRows>(tile, row);
  }
  switch (tile.rows - row) {
    case 0:
      return;
    case 1:
      return NarrowRows<Line, 1, 2>(tile, row);
    case 2:
      return NarrowRows<Line, 2, 2>(tile, row);
    case 3:
    case 4:
      return NarrowRows<Line, 4>(tile, row);
    default:
      return NarrowRows<Line, Line::kMostRows>(tile, row);
  }
}

inline void ProductBfloat16(const NarrowTile<Bfloat16Pair>& tile) {
  NarrowProduct<Bfloat16Line>(tile);
}
inline void ProductInt8(const NarrowTile<std::int8_t>& tile) { NarrowProduct<Int8Line>(tile); }

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif
