#pragma once

#include <algorithm>

#include "src/kernels/simd/kernels.h"
#include "src/kernels/simd/layout.h"

namespace sluice::kernels::simd {

// A thread's use of the tile registers.
class TileSession {
 public:
  explicit TileSession(const TileKernels& kernels) : kernels_(kernels) { kernels_.begin(); }
  ~TileSession() { kernels_.end(); }
  TileSession(const TileSession&) = delete;
  TileSession& operator=(const TileSession&) = delete;

 private:
  const TileKernels& kernels_;
};

// Products of many tiles, each with element-wise work on its result: `work(panel, rows, z)`, row by
// row and beside the next product, because tiles and vectors are computed by different units.
template <class Work>
class TilePipeline {
 public:
  explicit TilePipeline(const Work& work) : work_(work) {}
  TilePipeline(const TilePipeline&) = delete;
  TilePipeline& operator=(const TilePipeline&) = delete;

  // `multiply(out, aside)` computes the product of so many chunks.
  template <class Multiply>
  void run(Index panel, const Tile& tile, Index chunks, const Multiply& multiply) {
    per_chunk_ = (pending_.rows - done_ + chunks - 1) / chunks;
    multiply(z_[1 - current_], Aside{.step = &TilePipeline::step, .state = this});
    finish();
    current_ = 1 - current_;
    panel_ = panel;
    pending_ = tile;
    done_ = 0;
  }
  void finish() { advance(pending_.rows); }

 private:
  static void step(void* self, Index /*chunk*/) {
    auto& pipeline = *static_cast<TilePipeline*>(self);
    pipeline.advance(pipeline.per_chunk_);
  }
  void advance(Index rows) {
    const Index count = std::min(rows, pending_.rows - done_);
    if (count <= 0) return;
    work_(panel_, Tile{pending_.row + done_, count}, z_[current_] + done_ * kPanel);
    done_ += count;
  }

  const Work& work_;
  int current_ = 0;
  Index panel_ = 0, done_ = 0, per_chunk_ = 0;
  Tile pending_ = {0, 0};
  alignas(64) float z_[2][kMostRows * kPanel];
};

}  // namespace sluice::kernels::simd
