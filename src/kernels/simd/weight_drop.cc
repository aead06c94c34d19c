// Weight drop: masked copies of products' weights, made when a step begins.
#include <cassert>

#include "src/kernels/simd/scratch.h"
#include "src/kernels/simd/simd_backend.h"

namespace sluice::kernels::simd {

void ProductWeights::set_drop(const WeightDrop& next) {
  drop = next;
  const Index inputs = input_blocks * kBlock;
  drop_keys.resize(static_cast<std::size_t>(shape.taps * inputs));
  for (std::size_t i = 0; i < drop_keys.size(); ++i) {
    const auto at = static_cast<Index>(i);
    drop_keys[i] = row_key(drop.key, static_cast<std::uint64_t>(at / inputs),
                           static_cast<std::uint64_t>(at % inputs));
  }
}

void ProductWeights::mask_pair(const Kernels& kernels, Index panel, Index input_block, Index tap,
                               const float* in, float* out) const {
  const DropoutMask mask = {.keys = drop_keys.data() + (tap * input_blocks + input_block) * kBlock,
                            .threshold = dropout_threshold(drop.rate)};
  for (Index half = 0; half < 2; ++half) {
    // Of a paired product a panel's halves are a and b of the same channels.
    const Index column =
        shape.paired ? half * shape.out + panel * kBlock : (2 * panel + half) * kBlock;
    kernels.mask_square(mask, static_cast<std::uint32_t>(column), in + half * kSquare,
                        out + half * kSquare);
  }
}

void ProductWeights::mask_panel(const Kernels& kernels, Index panel, float* out) const {
  const float* from = panel_values(panel);
  for (Index block = 0; block < input_blocks; ++block) {
    for (Index tap = 0; tap < shape.taps; ++tap) {
      const Index at = (block * shape.taps + tap) * kPair;
      mask_pair(kernels, panel, block, tap, from + at, out + at);
    }
  }
}

void SimdBackend::drop(Weights& weights, const WeightDrop& drop) {
  auto& w = static_cast<ProductWeights&>(weights);
  if (drop == w.drop || (drop.rate == 0 && w.drop.rate == 0)) return;
  assert(!w.stale);
  if (drop.rate == 0) return refresh(w);
  w.set_drop(drop);
  w.derives_late = false;
  take_drop(w);
  set_scales(w);
}

void SimdBackend::take_drop(const ProductWeights& w) {
  float* kept = grown(w.kept, w.panels * w.panel_size());
  pool_.run(w.panels,
            [&](Index panel, int) { w.mask_panel(kernels_, panel, kept + w.offset(panel, 0, 0)); });
}

}  // namespace sluice::kernels::simd
