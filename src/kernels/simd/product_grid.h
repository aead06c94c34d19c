#pragma once

#include <algorithm>

#include "src/kernels/chunks.h"

namespace sluice::kernels::simd {

// A grid of tiles times panels, cut by the shape alone: a group of tiles whose inputs stay in the
// second cache, and about 32 chunks, so that no thread waits long for the last.
struct ProductGrid {
  ProductGrid(Index tile_count, Index panel_count)
      : tiles{tile_count, std::clamp<Index>((tile_count + 3) / 4, 1, 10)},
        panels{panel_count, std::max<Index>(1, panel_count * tiles.count() / 32)} {}
  Index count() const { return tiles.count() * panels.count(); }

  Chunks tiles, panels;
};

}  // namespace sluice::kernels::simd
