#include "src/kernels/simd/tile_backend.h"

namespace sluice::kernels::simd {

TileBackend::TileBackend(ThreadPool& pool, const Kernels& kernels, const TileKernels& tiles,
                         Precision precision, RowUpdates updates)
    : SimdBackend(pool, kernels, updates, kMostRows),
      tiles_(tiles),
      precision_(precision),
      parts_(precision == Precision::kBf16x3 ? 2 : 1) {}

std::string_view TileBackend::name() const {
  return &tiles_ == &kernels_.tiles ? SimdBackend::name() : name_of(InstructionSet::kAmx);
}

std::unique_ptr<Weights> TileBackend::weights(const ConvShape& shape, const Slices& v,
                                              const Slices* g, const Slices* b) {
  return std::make_unique<TileWeights>(shape, v, g, b, parts_);
}

void TileBackend::refresh(Weights& weights) {
  if (auto* product = dynamic_cast<TileWeights*>(&weights)) product->reserve();
  SimdBackend::refresh(weights);
}

void TileBackend::refresh_panel(ProductWeights& w, Index panel) {
  SimdBackend::refresh_panel(w, panel);
  if (!w.derives_late) static_cast<TileWeights&>(w).pack(kernels_, panel, w.panel_values(panel));
}

void TileBackend::make_ready(const TileWeights& w) {
  if (!w.derives_late) return;
  w.derives_late = false;
  pool_.run(w.panels, [&](Index panel, int) { w.pack(kernels_, panel, w.panel_values(panel)); });
}

void TileBackend::take_drop(const ProductWeights& w) {
  reserve_workers(w.panel_size());
  pool_.run(w.panels, [&](Index panel, int worker) {
    float* masked = worker_memory(worker);
    w.mask_panel(kernels_, panel, masked);
    static_cast<const TileWeights&>(w).pack(kernels_, panel, masked);
  });
}

// Smallest first: what is left over of both is below what float keeps.
void TileBackend::multiply(TileProduct tile, Index a_low, Index b_low) const {
  if (parts_ > 1) {
    TileProduct rest = tile;
    rest.aside = {};
    rest.a += a_low;
    tiles_.product(rest);
    rest.a = tile.a;
    rest.b += b_low;
    rest.add = true;
    tiles_.product(rest);
    tile.add = true;
  }
  tiles_.product(tile);
}

void TileBackend::multiply(TileGradient tile, Index x_low, Index y_low) const {
  if (parts_ > 1) {
    TileGradient rest = tile;
    for (const Bfloat16*& x : rest.x) x += x_low;
    tiles_.gradient(rest);
    rest = tile;
    for (const Bfloat16*& y : rest.y) y += y_low;
    rest.add = true;
    tiles_.gradient(rest);
    tile.add = true;
  }
  tiles_.gradient(tile);
}

std::unique_ptr<Backend> make_tile_backend(ThreadPool& pool, const Kernels& kernels,
                                           const TileKernels& tiles, Precision precision,
                                           RowUpdates updates) {
  return std::make_unique<TileBackend>(pool, kernels, tiles, precision, updates);
}

}  // namespace sluice::kernels::simd
