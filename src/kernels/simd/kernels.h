#pragma once

#include <cstdint>

#include "sluice/base/real.h"
#include "sluice/kernels/dropout.h"
#include "sluice/kernels/gate.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/kernels/update.h"
#include "src/kernels/simd/tiles.h"

// What is compiled once per instruction set. A table of functions on raw memory; who calls them
// with what, threads and shapes, is compiled once (simd_backend.h). The layout is the same for all
// sets: blocks of 16 floats, one cache line.
namespace sluice::kernels::simd {

inline constexpr Index kBlock = 16;                // channels of a row that lie side by side
inline constexpr Index kPanel = 2 * kBlock;        // columns that a product makes at a time
inline constexpr Index kSquare = kBlock * kBlock;  // one 16 x 16 block of a matrix
inline constexpr Index kPair = 2 * kSquare;        // two of them, a panel's for 16 inputs
inline constexpr Index kMostRows = 32;             // no tile has more

// out[r, 0..31] (+)= sum over chunks c, taps j, inputs i of
//   a[c * a_chunk + j * a_tap + r * 16 + i] * b[c * b_chunk + j * 512 + {0, 256} + i * 16 +
//   column],
// in this order of c, j, i for every element, whatever the number of rows.
struct ProductTile {
  const float* a;
  Index a_chunk, a_tap;
  const float* b;
  Index b_chunk;
  Index chunks, taps;
  Index rows;  // that count; as many as a whole step of registers are computed
  float* out;  // [kMostRows, 32]
  bool add;    // to what stands there
};

// Two bfloat16 weights of one input: that of column c in the low half, of column c + 16 in the high
// one.
using Bfloat16Pair = std::uint32_t;

// Weights in fewer bits: out[r, 0..31] = sum over chunks c, inputs i of
//   a[c * a_chunk + r * 16 + i] * b[c, i, column],
// times the column's scale where there are scales; for every element in the same order, whatever
// the number of rows.
template <class Code>
struct NarrowTile {
  const float* a;
  Index a_chunk;
  const Code* b;  // [chunks][16][32], or of pairs [16]
  Index chunks;
  Index rows;           // as of a ProductTile
  const float* scales;  // of the columns; int8 only
  float* out;           // [kMostRows, 32]
};

// out[{0, 256} + c * 16 + column] (+)= sum over rows m of x[m * 16 + c] * y[{0, 1}][m * 16 +
// column].
struct GradientTile {
  const float* x;
  const float* y[2];
  Index rows;
  float* out;
  bool add;
};

// out_o (+)= sum over inputs k of factors[o, k] * in_k, for `lines` lines of 16 numbers.
inline constexpr Index kMostCombined = 6;
struct Combination {
  const float* in;
  Index in_pitch, in_step;  // from input to input, from line to line
  Index inputs;             // at most kMostCombined
  float* out;
  Index out_pitch, out_step;
  Index outputs;
  const float* factors;
  Index factor_pitch;  // from output to output
  Index lines;
  bool add;
};

// One array of activations: row r of block q lies at first + q * pitch + r * 16.
struct Rows {
  float* first = nullptr;
  Index pitch = 0;
  explicit operator bool() const { return first != nullptr; }
  float* at(Index block, Index row) const { return first + block * pitch + row * kBlock; }
};

// Null keys: nothing is dropped.
struct DropoutMask {
  const RowKey* keys = nullptr;  // by row
  std::uint32_t threshold = 0;
  float keep = 1;  // 1 / (1 - rate)
};

// kernels/junction.h with everything resolved to memory. Scales and biases are in the order of the
// product's blocks, [blocks, 16]: of a paired product a, b, a, b, ...
struct JunctionView {
  Gate gate = Gate::kLinear;
  float scale = 1;
  const float *scales = nullptr, *biases = nullptr;
  const float *residual_scales = nullptr, *residual_biases = nullptr;
  DropoutMask self, next;
  const std::int32_t* token = nullptr;  // by row; -1: context
  Rows residual, stream, plain, dropped, saved;
  Rows dy, ddropped;  // only if written
  Rows dresidual, dz;
  bool adds_residual = false;  // to what stands in dresidual
};

// The arrays of a run of parameters; null where there is none.
struct Run {
  float *value, *gradient, *state0, *state1, *average;
};

// A step of an optimiser, with what takes long to work out: adam's 1 - beta^t.
struct PreparedStep {
  explicit PreparedStep(const UpdateRule& step);
  UpdateRule rule;
  double moment_correction = 1, square_correction = 1;
};

// Sums over the rows of a tile that backward adds to; [blocks, 16], null: not wanted.
struct BiasSums {
  float* producer = nullptr;
  float* residual = nullptr;
};

// kernels/norm.h with everything resolved to memory. Gains and offsets: whole blocks, zero behind
// the last channel.
struct NormView {
  Rows x, dz;
  Index channels = 0;
  bool centred = false;
  float eps = 0;
  const float *gains = nullptr, *offsets = nullptr;  // null offsets: none
};

// Of the rows of a tile: x^ = (x - mean) inverse, and of backward along = mean(u x^) and, if
// centred, level = mean(u).
struct NormRows {
  float mean[kMostRows], inverse[kMostRows], along[kMostRows], level[kMostRows];
};

struct Kernels {
  InstructionSet set;
  Index tile_rows;  // of one tile; at most kMostRows

  void (*product)(const ProductTile& tile);
  void (*product_bfloat16)(const NarrowTile<Bfloat16Pair>& tile);
  void (*product_int8)(const NarrowTile<std::int8_t>& tile);
  void (*gradient)(const GradientTile& tile);
  void (*combine)(const Combination& job);
  // out = in^T, 16 x 16.
  void (*transpose)(const float* in, float* out);

  NarrowKernels narrow;
  TileKernels tiles;  // of vectors, for CPUs without tiles

  // Rows [row, row + rows) of channel block `block`; a and b: the product's halves (b only if the
  // gate is paired), rows 32 apart.
  void (*junction_forward)(const JunctionView& junction, Index block, Index row, Index rows,
                           const float* a, const float* b);
  // product: the last reader's gradient of this block, rows 32 apart.
  void (*junction_backward)(const JunctionView& junction, Index block, Index row, Index rows,
                            const float* product, const BiasSums& sums);

  // out = in, a 16 x 16 square of weights with a key per row, times the mask's factors; its columns
  // count from `column`. out may be in.
  void (*mask_square)(const DropoutMask& mask, std::uint32_t column, const float* in, float* out);
  // Rows [row, row + rows) of a norm, first what all channels share: mean and inverse; then, of
  // backward, along and level.
  void (*norm_statistics)(const NormView& norm, Index row, Index rows, NormRows& out);
  void (*norm_sums)(const NormView& norm, Index row, Index rows, NormRows& out);
  // y, or dx, of one block, rows 32 apart; backward adds to the block's sums over rows of the
  // gradients of gains and, if there are any, offsets.
  void (*norm_forward)(const NormView& norm, Index block, Index row, Index rows,
                       const NormRows& statistics, float* z);
  void (*norm_backward)(const NormView& norm, Index block, Index row, Index rows,
                        const NormRows& statistics, float* d, float* gain_sums, float* offset_sums);

  // z: logits of `rows` rows of a tile, [panels][kMostRows, 32]; -infinity: not a word. Of each row
  // its largest to max[row], the sum of exp(z - max) to sum[row], and if `out` is given, these
  // exponentials to it, block after block, `pitch` apart, rows 16 apart.
  void (*exponentials)(const float* z, Index panels, Index rows, float* max, double* sum,
                       float* out, Index pitch);
  // z = z * scales + biases (null: 1, 0) for the 32 columns of one panel.
  void (*shift_logits)(float* z, Index rows, const float* scales, const float* biases);
  // One block of exponentials times factor[row]; 0 where that is 0.
  void (*scale_rows)(float* block, Index rows, const float* factors);
  // Adds the columns' sums over rows to sums[16].
  void (*add_columns)(const float* block, Index rows, float* sums);
  // out[w] = sum_k x[k] * table row w, for the 16 words of a row of squares; x: blocks of 16, so
  // far apart.
  void (*dot_words)(const float* squares, const float* x, Index x_pitch, Index squares_per_row,
                    float* out);
  // Of a plain array: largest, and sum of exp(value - max); and value - max - log_sum in place.
  float (*largest)(const float* values, Index size);
  double (*exponential_sum)(const float* values, Index size, float max);
  void (*subtract)(float* values, Index size, float max, float log_sum);
  // out[i] = exp((values[i] - max) * factor), none of them above 1; returns their sum.
  double (*tempered)(const float* values, Index size, float max, float factor, float* out);

  // kernels/update.h on `parts` runs of `size` numbers, `pitch` apart; gradient null: zeros.
  // `share` (null: none), period 16: what times the value is taken off the gradient first (weight
  // norm).
  void (*update)(const PreparedStep& step, double decay, const Run& run, Index size,
                 const float* share, Index parts, Index pitch);
  double (*sum_of_squares)(const float* values, Index size);
  // Adds to sums[16] the products of a and b, by position within a block of 16.
  void (*add_dots)(const float* a, const float* b, Index size, double* sums);
};

// Null: this CPU or this build does not have it. Of kAmx: the table of kAvx512.
const Kernels* find_kernels(InstructionSet set);

}  // namespace sluice::kernels::simd
