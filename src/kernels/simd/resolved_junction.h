#pragma once

#include <vector>

#include "sluice/base/thread_pool.h"
#include "sluice/kernels/junction.h"
#include "src/kernels/simd/layout.h"
#include "src/kernels/simd/weights.h"

namespace sluice::kernels::simd {

// A junction with its arrays resolved to this backend's memory, and both of its sides for one tile
// of a product: rows of 32 columns, the two blocks of a panel.
class ResolvedJunction {
 public:
  explicit ResolvedJunction(const Junction& junction);
  // Its view points into it.
  ResolvedJunction(const ResolvedJunction&) = delete;
  ResolvedJunction& operator=(const ResolvedJunction&) = delete;
  // A panel of the producer's columns. Of a paired gate it is one block of channels, else two.
  void forward(const Kernels& kernels, Index panel, const Tile& tile, const float* z) const;
  // A panel of channels: the last reader's gradient.
  void backward(const Kernels& kernels, Index panel, const Tile& tile, const float* d,
                const BiasSums& sums) const;
  void finish_forward() const;
  void finish_backward() const;

  Index blocks() const { return blocks_; }
  Index product_blocks() const { return is_paired(junction_.gate) ? 2 * blocks_ : blocks_; }
  const Junction& junction() const { return junction_; }

 private:
  DropoutMask mask(const Dropout& dropout, std::vector<RowKey>& keys) const;

  Junction junction_;
  const BlockedActivations* shape_ = nullptr;
  Index blocks_ = 0;
  JunctionView view_;
  std::vector<RowKey> self_keys_, next_keys_;
};

// Where a reader's gradient goes, tile by tile: into one of a junction's gradient arrays, or into
// its backward as the last one.
class GradientReader {
 public:
  // The rows are those of `from`, which may be a selection of those of `below`.
  GradientReader(Junction& below, Into into, const BlockedActivations& from, ThreadPool& pool);
  // Groups of tiles: each has bias sums of its own, added in order of the groups by finish().
  void prepare(Index groups);
  void take(const Kernels& kernels, Index group, Index panel, const Tile& tile, const float* d);
  void finish();

 private:
  void clear_part(ThreadPool& pool) const;
  void add_to_part(Index panel, const Tile& tile, const float* d) const;

  Junction& below_;
  const BlockedActivations& from_;
  BlockedActivations* part_ = nullptr;  // null: closes
  bool scattered_ = false, adds_ = false;
  std::unique_ptr<ResolvedJunction> junction_;
  bool bias_ = false, residual_bias_ = false;
  Index groups_ = 0, sums_ = 0;
  std::vector<float> partial_;  // [groups][product's blocks, then channel blocks][16]
};

}  // namespace sluice::kernels::simd
