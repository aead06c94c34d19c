#pragma once

#include <vector>

#include "src/kernels/chunks.h"
#include "src/kernels/simd/kernels.h"
#include "src/kernels/simd/weights.h"

namespace sluice::kernels::simd {

// The gradient of a product's weights, cut into chunks of panels times input blocks by the shape
// alone, and what follows its products whatever made them.
class WeightGradient {
 public:
  // unit: input blocks that are worked on together.
  WeightGradient(const Kernels& kernels, ProductWeights& weights, Index unit);

  Index chunks() const { return panels_.count() * blocks_.count(); }
  // What a chunk is about, and the most that one has.
  struct Part {
    Index first_panel, end_panel, first_block, end_block;
  };
  Part part(Index chunk) const {
    const Index panels = chunk / blocks_.count(), blocks = chunk % blocks_.count();
    return {panels_.begin(panels), panels_.end(panels), blocks_.begin(blocks), blocks_.end(blocks)};
  }
  Index most_panels() const { return panels_.size; }
  Index most_blocks() const { return blocks_.size; }
  // Calls visit(panel, block) for those of a chunk; of blocks the first of every `unit`.
  template <class Visit>
  void each(Index chunk, const Visit& visit) const {
    const Part all = part(chunk);
    for (Index panel = all.first_panel; panel < all.end_panel; ++panel) {
      for (Index block = all.first_block; block < all.end_block; block += unit_) {
        visit(panel, block);
      }
    }
  }

  // Of a chunk, by whoever made its products.
  void finish_chunk(Index chunk);
  // Of all.
  void finish();

 private:
  void finish_block(Index panel, Index block, double* dots, double* squares);

  const Kernels& kernels_;
  ProductWeights& w_;
  Index unit_;
  Chunks panels_, blocks_;
  // dw' . v: [chunks of blocks][panels][32], under weight norm; |dw'|^2: [chunks][16].
  std::vector<double> dots_, squares_;
};

}  // namespace sluice::kernels::simd
