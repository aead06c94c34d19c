// Weights in fewer bits: rounded where they stand, so that all that reads them computes with the
// same numbers, and copied for products of a few rows.
#include "src/kernels/simd/narrow.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "sluice/base/memory.h"
#include "src/kernels/simd/simd_backend.h"

namespace sluice::kernels::simd {
namespace {

// Floats that as many bytes fill.
Index floats(WeightFormat format, Index weights) {
  const auto size = static_cast<Index>(sizeof(float));
  return (weights * bytes_of(format) + size - 1) / size;
}

// The columns of a panel of a product.
void narrow_columns(const ProductWeights& w, Index panel, WeightFormat format, float* scales) {
  float* v = w.v()[Array::kValue] + w.offset(panel, 0, 0);
  for (Index column = 0; column < kPanel; ++column) {
    float* first = v + column / kBlock * kSquare + column % kBlock;
    const float scale = narrow_channel(format, [&](const auto& visit) {
      for (Index pair = 0; pair < w.panel_size(); pair += kPair) {
        for (Index i = 0; i < kSquare; i += kBlock) visit(first[pair + i]);
      }
    });
    if (scales != nullptr) scales[column] = scale;
  }
}

// 32 rows of a table.
void narrow_rows(const TableWeights& w, Index panel, WeightFormat format, float* scales) {
  float* v = w.v()[Array::kValue];
  for (Index lane = 0; lane < kPanel && panel * kPanel + lane < w.shape.rows; ++lane) {
    const Index row = panel * kPanel + lane;
    const float scale = narrow_channel(format, [&](const auto& visit) {
      for (Index k = 0; k < w.shape.width; ++k) visit(v[w.element(row, k)]);
    });
    if (scales != nullptr) scales[lane] = scale;
  }
}

}  // namespace

NarrowPanels::NarrowPanels(WeightFormat format, Index panels, Index chunks,
                           const DigitKernels* digits)
    : format_(format),
      chunks_(chunks),
      digits_(format == WeightFormat::kInt8 && chunks * kBlock <= kMostDigitInputs ? digits
                                                                                   : nullptr) {
  assert(format != WeightFormat::kFloat32);
  const Index size = floats(format, panels * chunks * kPair);
  require_memory(
      static_cast<double>(size) * sizeof(float) + static_cast<double>(resident_memory().now),
      "weights in fewer bits");
  codes_ = AlignedBuffer(size);
  if (format == WeightFormat::kInt8) scales_ = AlignedBuffer(panels * kPanel);
  if (digits_ != nullptr) column_sums_.resize(static_cast<std::size_t>(panels * kPanel));
}

template <class Code>
Code* NarrowPanels::codes(Index panel, Index chunk) const {
  constexpr Index kPerFloat = sizeof(float) / sizeof(Code);
  return reinterpret_cast<Code*>(codes_.data()) +
         (panel * chunks_ + chunk) * floats(format_, kPair) * kPerFloat;
}

void NarrowPanels::set(Index panel, Index chunk, const float* pair) {
  if (format_ == WeightFormat::kBfloat16) {
    auto* to = codes<Bfloat16Pair>(panel, chunk);
    for (Index i = 0; i < kSquare; ++i) {
      to[i] = std::bit_cast<std::uint32_t>(pair[i]) >> 16 |
              std::bit_cast<std::uint32_t>(pair[kSquare + i]);
    }
    return;
  }
  auto* to = codes<std::int8_t>(panel, chunk);
  for (Index i = 0; i < kPair; ++i) {
    const Index input = i % kSquare / kBlock, column = i / kSquare * kBlock + i % kBlock;
    const auto code = static_cast<std::int8_t>(int8_code(pair[i], scales(panel)[column]));
    if (digits_ == nullptr) {
      to[input * kPanel + column] = code;
    } else {
      to[(input / kQuad * kPanel + column) * kQuad + input % kQuad] = code;
      column_sums_[static_cast<std::size_t>(panel * kPanel + column)] += 128 * code;
    }
  }
}

void NarrowPanels::multiply(const Kernels& kernels, Index panel, const NarrowRows& x, Index first,
                            Index rows, float* z) const {
  if (digits_ != nullptr) {
    assert(x.digits != nullptr);
    return digits_->product({.x = x.digits + first,
                             .x_pitch = x.count(),
                             .steps = x.steps + first,
                             .b = codes<std::int8_t>(panel, 0),
                             .quads = chunks_ * (kBlock / kQuad),
                             .rows = rows,
                             .scales = scales(panel),
                             .column_sums = column_sums_.data() + panel * kPanel,
                             .out = z});
  }
  const auto tile = [&]<class Code>(const Code* b) {
    return NarrowTile<Code>{.a = x.floats.at(0, first),
                            .a_chunk = x.floats.pitch,
                            .b = b,
                            .chunks = chunks_,
                            .rows = rows,
                            .scales = scales_.data() + (scales_.size() > 0 ? panel * kPanel : 0),
                            .out = z};
  };
  if (format_ == WeightFormat::kBfloat16) {
    kernels.product_bfloat16(tile(codes<Bfloat16Pair>(panel, 0)));
  } else {
    kernels.product_int8(tile(codes<std::int8_t>(panel, 0)));
  }
}

Index digit_floats(const DigitKernels* digits, Index blocks, Index rows) {
  return digits == nullptr ? 0 : blocks * rows * kBlock + rows;
}

NarrowRows SimdBackend::split(Rows x, Index blocks, const DigitKernels* digits, float* memory) {
  NarrowRows rows = {.floats = x};
  if (digits == nullptr) return rows;
  static_assert(sizeof(QuadDigits) == kQuad * sizeof(float));
  auto* quads = reinterpret_cast<QuadDigits*>(memory);
  float* steps = memory + blocks * rows.count() * kBlock;
  pool_.run(rows.count(), [&](Index row, int) {
    steps[row] = digits->split(x.at(0, row), x.pitch, blocks, quads + row, rows.count());
  });
  rows.digits = quads;
  rows.steps = steps;
  return rows;
}

void SimdBackend::narrow(Weights& weights, WeightFormat format) {
  assert(!weights.has_gradient);
  catch_up(weights);
  const bool norm = dynamic_cast<NormWeights*>(&weights) != nullptr;
  if (norm || format == WeightFormat::kFloat32) return refresh(weights);
  if (auto* product = dynamic_cast<ProductWeights*>(&weights)) {
    narrow_product(*product, format);
  } else {
    narrow_table(static_cast<TableWeights&>(weights), format);
  }
}

void SimdBackend::narrow_product(ProductWeights& w, WeightFormat format) {
  const Index chunks = w.input_blocks * w.shape.taps;
  auto copy =
      std::make_unique<NarrowPanels>(format, w.panels, chunks, find_digit_kernels(kernels_.set));
  pool_.run(w.panels, [&](Index panel, int) {
    narrow_columns(w, panel, format, format == WeightFormat::kInt8 ? copy->scales(panel) : nullptr);
    for (Index chunk = 0; chunk < chunks; ++chunk) {
      copy->set(panel, chunk, w.v()[Array::kValue] + w.offset(panel, 0, 0) + chunk * kPair);
    }
  });
  refresh(w);
  w.narrow = std::move(copy);
}

// Words are the columns.
void SimdBackend::narrow_table(TableWeights& w, WeightFormat format) {
  const Index squares = w.rows_of_squares(), panels = (squares + 1) / 2;
  auto copy = std::make_unique<NarrowPanels>(format, panels, w.width_blocks,
                                             find_digit_kernels(kernels_.set));
  pool_.run(panels, [&](Index panel, int) {
    narrow_rows(w, panel, format, format == WeightFormat::kInt8 ? copy->scales(panel) : nullptr);
    alignas(64) float pair[kPair] = {};
    for (Index block = 0; block < w.width_blocks; ++block) {
      for (Index square = 2 * panel; square < std::min(2 * panel + 2, squares); ++square) {
        kernels_.transpose(w.v()[Array::kValue] + w.element(square * kBlock, block * kBlock),
                           pair + square % 2 * kSquare);
      }
      copy->set(panel, block, pair);
    }
  });
  refresh(w);
  w.narrow = std::move(copy);
}

}  // namespace sluice::kernels::simd
