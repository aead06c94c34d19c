#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/kernels/dropout.h"
#include "sluice/kernels/weights.h"
#include "src/kernels/chunks.h"
#include "src/kernels/row_ledger.h"
#include "src/kernels/simd/layout.h"
#include "src/kernels/simd/narrow.h"

// Where the simd backend keeps parameters. Both kinds are made of 16 x 16 squares, so that one
// direction of a product reads them as they are and the other after transposing squares.
namespace sluice::kernels::simd {

// v: [panels][input blocks][taps][2][16 inputs][16 columns]; a panel is two blocks of columns: of a
// paired product those of a and of b for the same channels, so that a gate finds both side by side.
// Padded with zeros, which get gradients of zero.
struct ProductWeights : Weights {
  ProductWeights(const ConvShape& conv, const Slices& v, const Slices* g, const Slices* b);
  static Index elements(const ConvShape& shape);

  Index offset(Index panel, Index input_block, Index tap) const {
    return ((panel * input_blocks + input_block) * shape.taps + tap) * kPair;
  }
  // Of a logical column: its place among the padded ones, [blocks, 16].
  Index place(Index column) const {
    if (!shape.paired) return column;
    const Index half = column / shape.out, channel = column % shape.out;
    return (2 * (channel / kBlock) + half) * kBlock + channel % kBlock;
  }
  Index element(Index tap, Index in, Index column) const {
    const Index at = place(column);
    return offset(at / kPanel, in / kBlock, tap) + at % kPanel / kBlock * kSquare +
           in % kBlock * kBlock + at % kBlock;
  }
  const float* panel_values(Index panel) const { return v()[Array::kValue] + offset(panel, 0, 0); }
  Index panel_size() const { return input_blocks * shape.taps * kPair; }

  // What products of floats read: of a weight drop in force the copy with its mask. The factor of
  // what is kept is part of `scales`, so that masking a gradient twice does nothing.
  const float* read() const { return drop.rate > 0 ? kept.data() : v()[Array::kValue]; }
  // The numbers of a panel for 16 inputs and a tap; out may be in.
  void mask_pair(const Kernels& kernels, Index panel, Index input_block, Index tap, const float* in,
                 float* out) const;
  // All of a panel, to `out`.
  void mask_panel(const Kernels& kernels, Index panel, float* out) const;
  // A new drop: its keys.
  void set_drop(const WeightDrop& next);

  ConvShape shape;
  Index input_blocks, column_blocks, panels;
  // By place; norm2 and dot only under weight norm.
  std::vector<double> norm2;             // |v|^2
  std::vector<double> dot;               // dw' . v, of the gradient as it stands
  std::optional<double> gradient_norm2;  // |dw'|^2; none: it was changed from outside
  AlignedBuffer scales, biases;          // empty: 1, 0
  std::unique_ptr<NarrowPanels> narrow;  // null: f32
  WeightDrop drop;
  std::vector<RowKey> drop_keys;  // [taps][input blocks][16]
  mutable AlignedBuffer kept;     // where a backend has use for it
  // After a step with a drop: what is derived from all values for products waits until it is read,
  // because most likely the next step makes its own.
  mutable bool derives_late = false;
};

// [blocks of rows][blocks of the width][16 rows][16], and a square behind, because products read
// pairs of squares.
struct TableWeights : Weights {
  TableWeights(const TableShape& table, const Slices& v, const Slices* g, const Slices* b);
  static Index elements(const TableShape& shape);

  Index element(Index row, Index k) const {
    return (row / kBlock * width_blocks + k / kBlock) * kSquare + row % kBlock * kBlock +
           k % kBlock;
  }
  Index rows_of_squares() const { return blocks_of(shape.rows); }
  Index row_size() const { return width_blocks * kSquare; }  // of a row of squares
  // Of element-wise work: whole squares.
  Chunks row_chunks() const { return row_chunks(shape); }
  static Chunks row_chunks(const TableShape& shape) {
    return {shape.rows, blocks_of(row_runs(shape.rows, shape.width).size) * kBlock};
  }

  TableShape shape;
  Index width_blocks;
  // Steps put off are not part of the value that the weights stand for.
  mutable RowLedger ledger;
  std::vector<double> norm2, dot;  // by row, under weight norm
  std::vector<float> scale;
  std::unique_ptr<NarrowPanels> narrow;  // words as columns; null: f32
};

}  // namespace sluice::kernels::simd
