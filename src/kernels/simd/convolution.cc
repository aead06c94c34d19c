// Causal convolutions: tiles of rows times panels of columns, with the junction worked into each
// tile while it is in cache.
#include <algorithm>
#include <cassert>

#include "src/kernels/chunks.h"
#include "src/kernels/simd/product_grid.h"
#include "src/kernels/simd/resolved_junction.h"
#include "src/kernels/simd/simd_backend.h"
#include "src/kernels/simd/weight_gradient.h"

namespace sluice::kernels::simd {
namespace {

constexpr Index kGradientRows = 128;  // rows of x and dz that stay in cache for a group of squares

}  // namespace

void SimdBackend::conv_forward(const Activations& x, const Weights& weights, Junction& out) {
  const auto& w = static_cast<const ProductWeights&>(weights);
  const BlockedActivations& in = blocked(x);
  assert(in.channels() == w.shape.in && x.map().context >= w.shape.reach() && !w.stale);
  const ResolvedJunction junction(out);
  if (in.is_single_tokens()) {
    forward_single_tokens(in, w, junction);
    return junction.finish_forward();
  }
  // Only training saves what backward needs. (Neither does a linear gate, the direct form serves.)
  if (out.saved != nullptr && MinimalFilter::serves(w.shape, in)) {
    minimal_.forward(in, w, [&](Index, Index panel, const Tile& tile, const float* z) {
      junction.forward(kernels_, panel, tile, z);
    });
    return junction.finish_forward();
  }
  const std::vector<Tile>& tiles = in.tiles();
  const ProductGrid grid(static_cast<Index>(tiles.size()), w.panels);
  pool_.run(grid.count(), [&](Index chunk, int) {
    const Index group = chunk / grid.panels.count(), part = chunk % grid.panels.count();
    alignas(64) float z[kMostRows * kPanel];
    for (Index panel = grid.panels.begin(part); panel < grid.panels.end(part); ++panel) {
      for (Index i = grid.tiles.begin(group); i < grid.tiles.end(group); ++i) {
        const Tile& tile = tiles[static_cast<std::size_t>(i)];
        kernels_.product({.a = in.at(0, tile.row - w.shape.reach()),
                          .a_chunk = in.rows().pitch,
                          .a_tap = w.shape.dilation * kBlock,
                          .b = w.read() + w.offset(panel, 0, 0),
                          .b_chunk = w.shape.taps * kPair,
                          .chunks = w.input_blocks,
                          .taps = w.shape.taps,
                          .rows = tile.rows,
                          .out = z,
                          .add = false});
        junction.forward(kernels_, panel, tile, z);
      }
    }
  });
  junction.finish_forward();
}

// Sequences of one token: what they read is gathered, [input blocks][taps][tokens][16], and each
// panel of weights is read once for all of them. The product adds in the order of any other, so
// generation computes what evaluation does, to the bit; int8 does not quite (digits.h,
// narrow-inl.h).
void SimdBackend::forward_single_tokens(const BlockedActivations& x, const ProductWeights& w,
                                        const ResolvedJunction& junction) {
  const Index tokens = x.tokens(), step = x.selection() != nullptr ? 1 : x.pitch();
  const Index taps = w.shape.taps, per_tap = tokens * kBlock;
  const Index blocks = w.input_blocks * taps, size = (blocks * tokens + kMostRows) * kBlock;
  const DigitKernels* digits = w.narrow != nullptr ? w.narrow->digits() : nullptr;
  float* gathered = shared_memory(size + digit_floats(digits, blocks, tokens));
  for (Index block = 0; block < w.input_blocks; ++block) {
    for (Index tap = 0; tap < taps; ++tap) {
      const Index shift = (taps - 1 - tap) * w.shape.dilation;
      float* to = gathered + (block * taps + tap) * per_tap;
      for (Index token = 0; token < tokens; ++token) {
        std::copy_n(x.at(block, token * step - shift), kBlock, to + token * kBlock);
      }
    }
  }
  const NarrowRows narrow = split({gathered, per_tap}, blocks, digits, gathered + size);
  const Chunks groups = {tokens, kernels_.tile_rows};
  pool_.run(w.panels, [&](Index panel, int) {
    alignas(64) float z[kMostRows * kPanel];
    for (Index group = 0; group < groups.count(); ++group) {
      if (w.narrow != nullptr) {
        w.narrow->multiply(kernels_, panel, narrow, groups.begin(group), groups.length(group), z);
      } else {
        kernels_.product({.a = gathered + groups.begin(group) * kBlock,
                          .a_chunk = taps * per_tap,
                          .a_tap = per_tap,
                          .b = w.read() + w.offset(panel, 0, 0),
                          .b_chunk = taps * kPair,
                          .chunks = w.input_blocks,
                          .taps = taps,
                          .rows = groups.length(group),
                          .out = z,
                          .add = false});
      }
      for (Index i = 0; i < groups.length(group); ++i) {
        junction.forward(kernels_, panel, {(groups.begin(group) + i) * step, 1}, z + i * kPanel);
      }
    }
  });
}

void SimdBackend::conv_backward_weights(const Activations& x, const Activations& dz,
                                        Weights& weights) {
  auto& w = static_cast<ProductWeights&>(weights);
  const BlockedActivations &in = blocked(x), &dout = blocked(dz);
  assert(dout.channels() == w.shape.columns() && in.channels() == w.shape.in);
  assert(in.span() == dout.span() && in.span() > 0);
  assert(dout.paired == w.shape.paired);
  const Index taps = w.shape.taps;
  const Chunks rows = {in.span(), kGradientRows};
  const bool minimal = MinimalFilter::serves(w.shape, in);
  WeightGradient gradient(kernels_, w, 1);
  if (minimal) minimal_.prepare_gradient(in, w, gradient.most_panels(), gradient.most_blocks());
  pool_.run(gradient.chunks(), [&](Index chunk, int worker) {
    if (minimal) minimal_.gradient(dout, w, gradient.part(chunk), worker);
    for (Index i = 0; i < (minimal ? 0 : rows.count()); ++i) {
      const Index first = rows.begin(i);
      gradient.each(chunk, [&](Index panel, Index block) {
        const Index second = std::min(2 * panel + 1, w.column_blocks - 1);
        for (Index tap = 0; tap < taps; ++tap) {
          // Context rows of dz are zero, so what stands beside them does not count.
          kernels_.gradient({.x = in.at(block, first - (taps - 1 - tap) * w.shape.dilation),
                             .y = {dout.at(2 * panel, first), dout.at(second, first)},
                             .rows = rows.length(i),
                             .out = w.v()[Array::kGradient] + w.offset(panel, block, tap),
                             .add = i > 0 || w.has_gradient});
        }
      });
    }
    gradient.finish_chunk(chunk);
  });
  gradient.finish();
}

// [panels of inputs][column blocks][taps, the newest first][2][16 columns][16 inputs]
const float* SimdBackend::transposed(const ProductWeights& w) {
  const Index panels = (w.input_blocks + 1) / 2, taps = w.shape.taps;
  float* out = shared_memory(panels * w.column_blocks * taps * kPair);
  pool_.run(w.column_blocks, [&](Index block, int) {
    for (Index input = 0; input < 2 * panels; ++input) {
      for (Index tap = 0; tap < taps; ++tap) {
        float* to = out + ((input / 2 * w.column_blocks + block) * taps + taps - 1 - tap) * kPair +
                    input % 2 * kSquare;
        if (input == w.input_blocks) {
          std::fill_n(to, kSquare, 0.0F);
          continue;
        }
        kernels_.transpose(w.read() + w.offset(block / 2, input, tap) + block % 2 * kSquare, to);
      }
    }
  });
  return out;
}

void SimdBackend::conv_backward_data(const Activations& dz, const Weights& weights, Junction& below,
                                     Into into) {
  const auto& w = static_cast<const ProductWeights&>(weights);
  const BlockedActivations& dout = blocked(dz);
  assert(dout.channels() == w.shape.columns() && dz.map().context >= w.shape.reach());
  assert(dout.paired == w.shape.paired);
  GradientReader reader(below, into, dout, pool_);
  if (MinimalFilter::serves(w.shape, dout)) {
    reader.prepare(minimal_.groups(w.shape, dout, w.column_blocks));
    minimal_.backward_data(dout, w,
                           [&](Index group, Index panel, const Tile& tile, const float* d) {
                             reader.take(kernels_, group, panel, tile, d);
                           });
    return reader.finish();
  }
  const float* matrix = transposed(w);
  const Index taps = w.shape.taps, panel_size = w.column_blocks * taps * kPair;
  const std::vector<Tile>& tiles = dout.tiles();
  const ProductGrid grid(static_cast<Index>(tiles.size()), (w.input_blocks + 1) / 2);
  reader.prepare(grid.tiles.count());
  pool_.run(grid.count(), [&](Index chunk, int) {
    const Index group = chunk / grid.panels.count(), part = chunk % grid.panels.count();
    alignas(64) float d[kMostRows * kPanel];
    for (Index panel = grid.panels.begin(part); panel < grid.panels.end(part); ++panel) {
      for (Index i = grid.tiles.begin(group); i < grid.tiles.end(group); ++i) {
        const Tile& tile = tiles[static_cast<std::size_t>(i)];
        // dx[r] = sum_j dz[r + (k-1-j) d] W_j^T; the rows behind a sequence's end are zero.
        kernels_.product({.a = dout.at(0, tile.row),
                          .a_chunk = dout.rows().pitch,
                          .a_tap = w.shape.dilation * kBlock,
                          .b = matrix + panel * panel_size,
                          .b_chunk = taps * kPair,
                          .chunks = w.column_blocks,
                          .taps = taps,
                          .rows = tile.rows,
                          .out = d,
                          .add = false});
        reader.take(kernels_, group, panel, tile, d);
      }
    }
  });
  reader.finish();
}

}  // namespace sluice::kernels::simd
