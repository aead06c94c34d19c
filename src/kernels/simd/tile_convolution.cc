// Causal convolutions with products on tiles. As in convolution.cc, except for how operands come
// about and in which order tiles follow each other.
#include <algorithm>
#include <cassert>

#include "src/kernels/simd/product_grid.h"
#include "src/kernels/simd/resolved_junction.h"
#include "src/kernels/simd/tile_backend.h"
#include "src/kernels/simd/tile_session.h"
#include "src/kernels/simd/weight_gradient.h"

namespace sluice::kernels::simd {
namespace {

constexpr Index kPanelGroup = 4;     // panels that take turns while a tile's lines are in cache
constexpr Index kGradientSteps = 8;  // steps whose operands stay in cache for all taps

// Calls visit(panel, tile) for a chunk of a grid.
template <class Visit>
void each_tile(const ProductGrid& grid, Index chunk, const std::vector<Tile>& tiles,
               const Visit& visit) {
  const Index group = chunk / grid.panels.count(), part = chunk % grid.panels.count();
  const Index end = grid.panels.end(part);
  for (Index first = grid.panels.begin(part); first < end; first += kPanelGroup) {
    for (Index i = grid.tiles.begin(group); i < grid.tiles.end(group); ++i) {
      for (Index panel = first; panel < std::min(first + kPanelGroup, end); ++panel) {
        visit(panel, tiles[static_cast<std::size_t>(i)]);
      }
    }
  }
}

}  // namespace

void TileBackend::conv_forward(const Activations& x, const Weights& weights, Junction& out) {
  const auto& w = static_cast<const TileWeights&>(weights);
  const BlockedActivations& in = blocked(x);
  // Bound by reading weights, of which there may be copies in fewer bits.
  if (in.is_single_tokens()) {
    if (w.drop.rate > 0) SimdBackend::take_drop(w);
    return SimdBackend::conv_forward(x, weights, out);
  }
  assert(in.channels() == w.shape.in && x.map().context >= w.shape.reach() && !w.stale);
  make_ready(w);
  const ResolvedJunction junction(out);
  lines_.take(in, w.input_blocks, kernels_, pool_, parts_);
  const std::vector<Tile>& tiles = in.tiles();
  const ProductGrid grid(static_cast<Index>(tiles.size()), w.panels);
  const Index chunks = lines_of(w.input_blocks), taps = w.shape.taps;
  pool_.run(grid.count(), [&](Index chunk, int) {
    const TileSession session(tiles_);
    const auto work = [&](Index panel, const Tile& rows, const float* z) {
      junction.forward(kernels_, panel, rows, z);
    };
    TilePipeline pipeline(work);
    each_tile(grid, chunk, tiles, [&](Index panel, const Tile& tile) {
      pipeline.run(panel, tile, chunks, [&](float* z, const Aside& aside) {
        multiply({.a = lines_.at(0, tile.row - w.shape.reach()),
                  .a_chunk = lines_.pitch(),
                  .a_tap = w.shape.dilation * kLine,
                  .b = w.forward.data() + w.forward_offset(panel),
                  .b_chunk = taps * kTilePair,
                  .chunks = chunks,
                  .taps = taps,
                  .rows = tile.rows,
                  .out = z,
                  .add = false,
                  .aside = aside},
                 lines_.low(), w.forward.low());
      });
    });
    pipeline.finish();
  });
  junction.finish_forward();
}

// x[q] dz[q + shift] summed over the rows q from -reach on: x is cut into steps once, and a tap is
// an offset in dz.
void TileBackend::conv_backward_weights(const Activations& x, const Activations& dz,
                                        Weights& weights) {
  auto& w = static_cast<TileWeights&>(weights);
  const BlockedActivations &in = blocked(x), &dout = blocked(dz);
  assert(dout.channels() == w.shape.columns() && in.channels() == w.shape.in);
  assert(in.span() == dout.span() && in.span() > 0 && dout.paired == w.shape.paired);
  const Index taps = w.shape.taps, reach = w.shape.reach();
  columns_.take(in, reach, kernels_, pool_, parts_);
  pairs_.take(dout, w.column_blocks, reach, columns_.steps(), reach, kernels_, pool_, parts_);
  const Chunks steps = {columns_.steps(), kGradientSteps};
  WeightGradient gradient(kernels_, w, 2);
  const auto multiply_taps = [&](Index panel, Index block, Index step, Index count) {
    const bool one_block = block + 1 == w.input_blocks, one_half = 2 * panel + 1 == w.column_blocks;
    const Index next_block = one_block ? block : block + 1;
    const Index half = one_half ? 2 * panel : 2 * panel + 1;
    for (Index tap = 0; tap < taps; ++tap) {
      const Index shift = (taps - 1 - tap) * w.shape.dilation;
      float* first = w.v()[Array::kGradient] + w.offset(panel, block, tap);
      float* second =
          one_block ? nullptr : w.v()[Array::kGradient] + w.offset(panel, next_block, tap);
      const auto other = [&](float* square) {
        return square == nullptr || one_half ? nullptr : square + kSquare;
      };
      multiply({.x = {columns_.at(block, step), columns_.at(next_block, step)},
                .y = {pairs_.at(2 * panel, step, shift), pairs_.at(half, step, shift)},
                .steps = count,
                .out = {{first, other(first)}, {second, other(second)}},
                .add = step > 0 || w.has_gradient},
               columns_.low(), pairs_.low());
    }
  };
  pool_.run(gradient.chunks(), [&](Index chunk, int) {
    {
      const TileSession session(tiles_);
      for (Index i = 0; i < steps.count(); ++i) {
        gradient.each(chunk, [&](Index panel, Index block) {
          multiply_taps(panel, block, steps.begin(i), steps.length(i));
        });
      }
    }
    gradient.finish_chunk(chunk);
  });
  gradient.finish();
}

void TileBackend::conv_backward_data(const Activations& dz, const Weights& weights, Junction& below,
                                     Into into) {
  const auto& w = static_cast<const TileWeights&>(weights);
  const BlockedActivations& dout = blocked(dz);
  assert(dout.channels() == w.shape.columns() && dz.map().context >= w.shape.reach());
  assert(dout.paired == w.shape.paired && !w.stale);
  make_ready(w);
  lines_.take(dout, w.column_blocks, kernels_, pool_, parts_);
  const Index taps = w.shape.taps;
  const std::vector<Tile>& tiles = dout.tiles();
  GradientReader reader(below, into, dout, pool_);
  const ProductGrid grid(static_cast<Index>(tiles.size()), lines_of(w.input_blocks));
  reader.prepare(grid.tiles.count());
  pool_.run(grid.count(), [&](Index chunk, int) {
    const TileSession session(tiles_);
    const auto work = [&](Index panel, const Tile& rows, const float* d) {
      reader.take(kernels_, chunk / grid.panels.count(), panel, rows, d);
    };
    TilePipeline pipeline(work);
    each_tile(grid, chunk, tiles, [&](Index panel, const Tile& tile) {
      pipeline.run(panel, tile, w.panels, [&](float* d, const Aside& aside) {
        // dx[r] = sum_j dz[r + (k-1-j) d] W_j^T; the rows behind a sequence's end are zero.
        multiply({.a = lines_.at(0, tile.row),
                  .a_chunk = lines_.pitch(),
                  .a_tap = w.shape.dilation * kLine,
                  .b = w.backward.data() + w.backward_offset(panel),
                  .b_chunk = taps * kTilePair,
                  .chunks = w.panels,
                  .taps = taps,
                  .rows = tile.rows,
                  .out = d,
                  .add = false,
                  .aside = aside},
                 lines_.low(), w.backward.low());
      });
    });
    pipeline.finish();
  });
  reader.finish();
}

}  // namespace sluice::kernels::simd
