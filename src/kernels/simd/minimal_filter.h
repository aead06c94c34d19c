#pragma once

#include <functional>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/base/thread_pool.h"
#include "src/kernels/chunks.h"
#include "src/kernels/simd/layout.h"
#include "src/kernels/simd/weight_gradient.h"
#include "src/kernels/simd/weights.h"

// Convolutions of k taps with fewer multiplications (minimal filtering: Winograd, Arithmetic
// Complexity of Computations, 1980; Lavin and Gray 2016 for networks). m = 7 - k outputs in a row
// read the 6 inputs of a window, as polynomials whose product is found from its values at 6 points:
//   y = A ((F w) * (D x)),  dw = F^T ((D x) * (A^T dy)),
// with * by element: 6 products for m outputs instead of m k, half of them for 3 or 4 taps. Each is
// a matrix product over channels like that of one tap.
//
// Rounding differs from that of the direct form: with the points 0, 1, -1, 2, -1/2 and infinity and
// 4 taps the error of an output or gradient is about 1.5 times that of a plain float sum. It also
// spreads over the window, into outputs that depend on a row with a factor of zero: a row's bits
// depend on its neighbours, so evaluation and generation do without.
namespace sluice::kernels::simd {

inline constexpr Index kPoints = 6;
static_assert(kPoints <= kMostCombined);

struct FilterMatrices {
  explicit FilterMatrices(Index taps);
  Index taps, outputs;
  // D [points, window], F [points, taps], A [outputs, points]; and F^T, A^T.
  std::vector<float> input, filter, output, filter_transposed, output_transposed;
};

class MinimalFilter {
 public:
  MinimalFilter(ThreadPool& pool, const Kernels& kernels) : pool_(pool), kernels_(kernels) {}

  // Those it can compute, and those where it is the faster form: a matter of shape alone.
  static bool can_serve(const ConvShape& shape) {
    return shape.taps >= 2 && shape.taps < kPoints && shape.dilation == 1;
  }
  static bool serves(const ConvShape& shape, Index tokens);
  static bool serves(const ConvShape& shape, const BlockedActivations& x) {
    return x.selection() == nullptr && serves(shape, x.tokens());
  }

  // Takes a tile of a panel's results, rows 32 apart, which no other call has. The tiles of a group
  // come in order.
  using Take = std::function<void(Index group, Index panel, const Tile& tile, const float* z)>;
  // Groups of tiles of a product over so many blocks of channels.
  Index groups(const ConvShape& shape, const BlockedActivations& x, Index blocks) const;
  // Before scale and bias: z of conv_forward, and dx of conv_backward_data.
  void forward(const BlockedActivations& x, const ProductWeights& w, const Take& take);
  void backward_data(const BlockedActivations& dz, const ProductWeights& w, const Take& take);

  // The weights' gradient: once what all of it reads, then for parts of at most so many panels and
  // input blocks, on any thread.
  void prepare_gradient(const BlockedActivations& x, const ProductWeights& w, Index most_panels,
                        Index most_blocks);
  void gradient(const BlockedActivations& dz, const ProductWeights& w,
                const WeightGradient::Part& part, int worker);

 private:
  struct Grid;
  // Windows `step` rows apart, the first at `first`, as values at the points: pieces of `windows`
  // of [points][blocks][size of a piece][16].
  void transform_rows(const BlockedActivations& x, Index first, Index blocks, Index step,
                      const Chunks& windows);
  void multiply(const Grid& grid, const FilterMatrices& matrices, Index span, const Take& take);
  void multiply_panel(const Grid& grid, Index piece, Index panel, Index first_point,
                      const FilterMatrices& matrices, float* out) const;
  float* worker_memory(int worker) { return workers_[static_cast<std::size_t>(worker)].data(); }
  void reserve_workers(Index size);

  ThreadPool& pool_;
  const Kernels& kernels_;
  AlignedBuffer rows_;     // of transform_rows
  AlignedBuffer filters_;  // [panels][points][blocks][2][16][16]
  std::vector<AlignedBuffer> workers_;
};

}  // namespace sluice::kernels::simd
