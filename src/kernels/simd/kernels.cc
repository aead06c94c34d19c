// The kernels, once per instruction set: Highway includes this file again for each of them.
#include "kernels.h"

// Those that a CPU with AVX2, AVX-512 or NEON does without. Highway also makes a pass for the
// instructions that the compiler assumes anyway, for which there is no table.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/kernels/simd/kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON

#include "bfloat16-inl.h"
#include "combine-inl.h"
#include "junction-inl.h"
#include "narrow-inl.h"
#include "norm-inl.h"
#include "product-inl.h"
#include "softmax-inl.h"
#include "update-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sluice::kernels::simd {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3
inline constexpr InstructionSet kSet = InstructionSet::kAvx512;
#elif HWY_TARGET == HWY_AVX2
inline constexpr InstructionSet kSet = InstructionSet::kAvx2;
#else
inline constexpr InstructionSet kSet = InstructionSet::kNeon;
#endif

inline constexpr Kernels kTable = {
    .set = kSet,
    .tile_rows = kTileRows,
    .product = Product,
    .product_bfloat16 = ProductBfloat16,
    .product_int8 = ProductInt8,
    .gradient = Gradient,
    .combine = Combine,
    .transpose = Transpose,
    .narrow = {.lines = LinesTo,
               .transposed = TransposedTo,
               .row_pairs = RowPairsTo,
               .column_pairs = ColumnPairsTo},
    .tiles = {.begin = NoTiles,
              .end = NoTiles,
              .product = TileProductOf,
              .gradient = TileGradientOf},
    .junction_forward = JunctionForward,
    .junction_backward = JunctionBackward,
    .mask_square = MaskSquare,
    .norm_statistics = NormStatistics,
    .norm_sums = NormSums,
    .norm_forward = NormForward,
    .norm_backward = NormBackward,
    .exponentials = Exponentials,
    .shift_logits = ShiftLogits,
    .scale_rows = ScaleRows,
    .add_columns = AddColumns,
    .dot_words = DotWords,
    .largest = Largest,
    .exponential_sum = ExponentialSum,
    .subtract = Subtract,
    .tempered = Tempered,
    .update = Update,
    .sum_of_squares = SumOfSquares,
    .add_dots = AddDots,
};

}  // namespace HWY_NAMESPACE
}  // namespace sluice::kernels::simd
HWY_AFTER_NAMESPACE();

#endif

#if HWY_ONCE
namespace sluice::kernels::simd {

const Kernels* find_kernels(InstructionSet set) {
  if (set == InstructionSet::kAmx) {
    return find_amx_kernels() != nullptr ? find_kernels(InstructionSet::kAvx512) : nullptr;
  }
  [[maybe_unused]] const auto runs = [](std::int64_t target) {
    return (hwy::SupportedTargets() & target) != 0;
  };
#if HWY_TARGETS & HWY_AVX3
  if (set == InstructionSet::kAvx512 && runs(HWY_AVX3)) return &N_AVX3::kTable;
#endif
#if HWY_TARGETS & HWY_AVX2
  if (set == InstructionSet::kAvx2 && runs(HWY_AVX2)) return &N_AVX2::kTable;
#endif
#if HWY_TARGETS & HWY_NEON
  if (set == InstructionSet::kNeon && runs(HWY_NEON)) return &N_NEON::kTable;
#endif
  return nullptr;
}

}  // namespace sluice::kernels::simd
#endif
