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
  // Calls visit(panel, block) for those of a chunk; of blocks the first of every `unit`.
  template <class Visit>
  void each(Index chunk, const Visit& visit) const {
    const Index panels = chunk / blocks_.count(), blocks = chunk % blocks_.count();
    for (Index panel = panels_.begin(panels); panel < panels_.end(panels); ++panel) {
      for (Index block = blocks_.begin(blocks); block < blocks_.end(blocks); block += unit_) {
        visit(panel, block);
      }
    }
  }

  // Of a chunk, by whoever made its products.
  void finish_chunk(Index chunk);
  // Of all.
  void finish();

 private:
  void finish_block(Index panel, Index block, double* sums);

  const Kernels& kernels_;
  ProductWeights& w_;
  Index unit_;
  Chunks panels_, blocks_;
  std::vector<double> dots_;  // dw' . v: [chunks of blocks][panels][32]; under weight norm
};

}  // namespace sluice::kernels::simd
