#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "sluice/base/random.h"
#include "sluice/base/real.h"

namespace sluice::kernels {

// Inverted dropout: kept elements are scaled by 1 / (1 - rate). Whether element (sequence, t,
// channel) is kept is a pure function of the key and these three, so masks agree over backends,
// threads, micro-batches and ranks, and backward computes them again instead of storing them.
struct Dropout {
  std::uint64_t key = 0;             // derived from seed, step and place
  double rate = 0;                   // 0: everything is kept
  std::uint64_t first_sequence = 0;  // number of the batch's first sequence within the step
  // One mask for all tokens of a sequence, that of its first: whole channels are dropped (Gal and
  // Ghahramani 2016, section 4; "variational" or "locked" dropout).
  bool locked = false;
};

// The hash, fixed for good (tests hold it to the bit; checkpoints depend on it). Once per row,
// 64-bit mixing gives two words; per channel two 32-bit multiplies, with the second word injected
// between them: without that, the mask of one row would be a shifted copy of another's.
struct RowKey {
  std::uint32_t offset, inject;
};
inline RowKey row_key(std::uint64_t key, std::uint64_t sequence, std::uint64_t t) {
  const std::uint64_t mixed = derive_key(derive_key(key, sequence), t);
  return {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32)};
}
// `sequence` counts from the batch's first.
inline RowKey row_key(const Dropout& dropout, Index sequence, Index t) {
  return row_key(dropout.key, dropout.first_sequence + static_cast<std::uint64_t>(sequence),
                 dropout.locked ? 0 : static_cast<std::uint64_t>(t));
}
inline std::uint32_t channel_bits(RowKey row, std::uint32_t channel) {
  std::uint32_t x = channel * 0x9e3779b1U + row.offset;
  x ^= x >> 16;
  x *= 0x85ebca6bU;
  x ^= x >> 13;
  x += row.inject;
  x *= 0xc2b2ae35U;
  return x ^ (x >> 16);
}

// Weight drop (DropConnect: Wan et al. 2013; between the steps of a recurrence: Merity, Keskar and
// Socher 2018, arXiv:1708.02182, section 2): one mask for all tokens of a step. Whether the weight
// of a product's (tap, input, column) is kept is decided by channel_bits(row_key(key, tap, input),
// column), whatever a backend's layout.
struct WeightDrop {
  std::uint64_t key = 0;  // derived from seed, step and parameter
  double rate = 0;        // 0: every weight is kept
  bool operator==(const WeightDrop&) const = default;
  double keep() const { return 1 / (1 - rate); }
};

// Elements are kept where channel_bits >= threshold.
inline std::uint32_t dropout_threshold(double rate) {
  return static_cast<std::uint32_t>(std::min(std::round(rate * 0x1p32), 0x1p32 - 1));
}

// Whether a word's embedding is zero for a whole step, wherever the word stands; the rows that are
// kept are scaled by 1 / (1 - rate). Gal and Ghahramani 2016, section 4.2 (word type dropout).
inline bool drops_word(std::uint64_t key, double rate, int word) {
  return uniform_at(key, static_cast<std::uint64_t>(word)) < rate;
}

}  // namespace sluice::kernels
