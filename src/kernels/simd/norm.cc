// Norms over a token's channels: a pass of its own between two junctions, tile by tile.
#include <algorithm>
#include <cassert>

#include "src/kernels/chunks.h"
#include "src/kernels/simd/resolved_junction.h"
#include "src/kernels/simd/simd_backend.h"

namespace sluice::kernels::simd {
namespace {

NormView view_of(const BlockedActivations& x, const NormWeights& w, Rows dz = {}) {
  return {.x = x.rows(),
          .dz = dz,
          .channels = w.shape().channels,
          .centred = w.shape().centred(),
          .eps = static_cast<float>(kNormEps),
          .gains = w.v()[Array::kValue],
          .offsets = w.b() != nullptr ? (*w.b())[Array::kValue] : nullptr};
}

// About 32 groups of tiles, by the shape alone.
Chunks groups_of(const std::vector<Tile>& tiles) {
  const auto count = static_cast<Index>(tiles.size());
  return {count, (count + 31) / 32};
}

// Adds each group's sums, in order.
void add_gradient(const Slices& slices, const float* sums, Index groups, Index pitch,
                  Index channels, bool add) {
  float* total = slices[Array::kGradient];
  for (Index c = 0; c < channels; ++c) {
    float sum = add ? total[c] : 0;
    for (Index group = 0; group < groups; ++group) sum += sums[group * pitch + c];
    total[c] = sum;
  }
}

}  // namespace

void SimdBackend::norm_forward(const Activations& x, const NormWeights& w, Junction& out) {
  const BlockedActivations& in = blocked(x);
  assert(in.channels() == w.shape().channels && out.producer == nullptr);
  const ResolvedJunction junction(out);
  assert(junction.blocks() == blocks_of(in.channels()));
  const NormView norm = view_of(in, w);
  const Index blocks = blocks_of(in.channels());
  const std::vector<Tile>& tiles = in.tiles();
  const Chunks groups = groups_of(tiles);
  pool_.run(groups.count(), [&](Index group, int) {
    alignas(64) float z[kMostRows * kPanel];
    NormRows rows;
    for (Index i = groups.begin(group); i < groups.end(group); ++i) {
      const Tile& tile = tiles[static_cast<std::size_t>(i)];
      kernels_.norm_statistics(norm, tile.row, tile.rows, rows);
      for (Index block = 0; block < blocks; ++block) {
        kernels_.norm_forward(norm, block, tile.row, tile.rows, rows, z + block % 2 * kBlock);
        if (block % 2 == 1 || block + 1 == blocks) junction.forward(kernels_, block / 2, tile, z);
      }
    }
  });
  junction.finish_forward();
}

void SimdBackend::norm_backward(const Activations& x, const Activations& dz, NormWeights& w,
                                Junction& below, Into into) {
  const BlockedActivations &in = blocked(x), &dout = blocked(dz);
  assert(in.channels() == w.shape().channels && dout.channels() == in.channels());
  assert(in.span() == dout.span() && !dout.paired);
  const NormView norm = view_of(in, w, dout.rows());
  const Index blocks = blocks_of(in.channels()), pitch = 2 * blocks * kBlock;
  const std::vector<Tile>& tiles = dout.tiles();
  const Chunks groups = groups_of(tiles);
  GradientReader reader(below, into, dout, pool_);
  reader.prepare(groups.count());
  float* sums = shared_memory(groups.count() * pitch);
  pool_.run(groups.count(), [&](Index group, int) {
    alignas(64) float d[kMostRows * kPanel];
    NormRows rows;
    float* gains = sums + group * pitch;
    float* offsets = w.b() != nullptr ? gains + blocks * kBlock : nullptr;
    std::fill_n(gains, pitch, 0.0F);
    for (Index i = groups.begin(group); i < groups.end(group); ++i) {
      const Tile& tile = tiles[static_cast<std::size_t>(i)];
      kernels_.norm_statistics(norm, tile.row, tile.rows, rows);
      kernels_.norm_sums(norm, tile.row, tile.rows, rows);
      for (Index block = 0; block < blocks; ++block) {
        const Index at = block * kBlock;
        kernels_.norm_backward(norm, block, tile.row, tile.rows, rows, d + block % 2 * kBlock,
                               gains + at, offsets != nullptr ? offsets + at : nullptr);
        if (block % 2 == 1 || block + 1 == blocks) {
          reader.take(kernels_, group, block / 2, tile, d);
        }
      }
    }
  });
  reader.finish();
  const Index channels = in.channels();
  add_gradient(w.v(), sums, groups.count(), pitch, channels, w.has_gradient);
  w.has_gradient = true;
  if (w.b() == nullptr) return;
  add_gradient(*w.b(), sums + blocks * kBlock, groups.count(), pitch, channels,
               w.has_bias_gradient);
  w.has_bias_gradient = true;
}

double SimdBackend::squared_norm_of_norm(const NormWeights& w) const {
  const Index channels = w.shape().channels;
  return (w.has_gradient ? squared_norm_of(w.v()[Array::kGradient], channels) : 0) +
         (w.has_bias_gradient ? squared_norm_of((*w.b())[Array::kGradient], channels) : 0);
}

void SimdBackend::update_norm(NormWeights& w, const UpdateRule& rule) {
  const Index channels = w.shape().channels;
  const auto step = [&](const Slices& slices, bool has_gradient) {
    if (!has_gradient) std::fill_n(slices[Array::kGradient], channels, 0.0F);
    update_plain(slices, channels, rule, rule.other_decay);
  };
  step(w.v(), w.has_gradient);
  if (w.b() != nullptr) step(*w.b(), w.has_bias_gradient);
}

}  // namespace sluice::kernels::simd
