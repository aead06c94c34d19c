#pragma once

#include <algorithm>

#include "sluice/base/real.h"

namespace sluice::kernels {

// Chunks of a fixed grid, a function of the shape alone (base/thread_pool.h).
struct Chunks {
  Index total, size;
  Index count() const { return (total + size - 1) / size; }
  Index begin(Index chunk) const { return chunk * size; }
  Index end(Index chunk) const { return std::min(total, (chunk + 1) * size); }
  Index length(Index chunk) const { return end(chunk) - begin(chunk); }
};

// Rows per chunk: large enough that packing the other operand of a product is cheap, small enough
// for several chunks per core.
inline Chunks row_chunks(Index rows) { return {rows, std::clamp<Index>((rows + 7) / 8, 32, 384)}; }

constexpr Index kRun = 1 << 15;  // numbers of a chunk of element-wise work
// The same in whole rows.
inline Chunks row_runs(Index rows, Index width) {
  return {rows, std::max<Index>(1, kRun / std::max<Index>(1, width))};
}

}  // namespace sluice::kernels
