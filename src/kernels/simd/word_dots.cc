#include "src/kernels/simd/word_dots.h"

#include <algorithm>

namespace sluice::kernels::simd {
namespace {

void narrow_dots(const Kernels& kernels, const WordGroup& group, const NarrowRows& x, float* out,
                 Index pitch) {
  const NarrowPanels& narrow = *group.table->narrow;
  const Chunks tiles = {x.count(), kernels.tile_rows};
  alignas(64) float z[kMostRows * kPanel];
  for (Index first = group.first_square / 2 * kPanel; first < group.end(); first += kPanel) {
    const Index begin = std::max(first, group.begin());
    const Index end = std::min(first + kPanel, group.end());
    for (Index tile = 0; tile < tiles.count(); ++tile) {
      const Index row = tiles.begin(tile);
      narrow.multiply(kernels, first / kPanel, x, row, tiles.length(tile), z);
      for (Index r = 0; r < tiles.length(tile); ++r) {
        std::copy_n(z + r * kPanel + begin - first, end - begin,
                    out + (row + r) * pitch + begin - group.begin());
      }
    }
  }
}

}  // namespace

void word_dots(const Kernels& kernels, const WordGroup& group, const NarrowRows& x, float* out,
               Index pitch) {
  const TableWeights& w = *group.table;
  if (w.narrow != nullptr) return narrow_dots(kernels, group, x, out, pitch);
  for (Index s = 0; s < group.squares; ++s) {
    const Index first = (group.first_square + s) * kBlock;
    const Index begin = std::max(first, group.begin()), end = std::min(first + kBlock, group.end());
    for (Index r = 0; r < x.count(); ++r) {
      float z[kBlock];
      kernels.dot_words(w.v()[Array::kValue] + w.element(first, 0), x.floats.at(0, r),
                        x.floats.pitch, w.width_blocks, z);
      std::copy_n(z + begin - first, end - begin, out + r * pitch + begin - group.begin());
    }
  }
}

}  // namespace sluice::kernels::simd
