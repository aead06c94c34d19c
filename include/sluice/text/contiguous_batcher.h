#pragma once

#include <cstdint>

#include "sluice/text/batcher.h"

namespace sluice::text {

// Stream mode with carried context: B streams side by side, whose windows follow each other. With N
// tokens an epoch has
//   W = floor((N - (T - 1)) / (B T))  windows in each stream
// and leaves out N - W B T tokens at the two ends of the text, which are T - 1 or more and so less
// than (B + 1) T: as many of them as a drawn offset o(e) says in front. Stream b has the targets
//   [o(e) + b W T, o(e) + (b + 1) W T),
// each once, and batch k of the epoch holds window k of every stream, whole. A batch continues the
// one before unless it is the first of its epoch. What sample n is depends on n alone:
//   epoch n / (W B), stream n mod B.
//
// Micro-batches of one step follow each other in the same B streams, as those of several steps do.
class ContiguousBatcher : public Batcher {
 public:
  // Error kBadData as Batcher, and when the text is too short for one window in each stream (naming
  // tokens found and needed).
  ContiguousBatcher(TokenFile tokens, const Permutation& permutation, int end_of_line,
                    Index tokens_per_sample, Index batch_size, std::uint64_t seed);
  // first_sample: a multiple of the batch size.
  void load(std::uint64_t first_sample, Batch& batch) const override;
  void load_largest(Batch& batch) const override { load(0, batch); }
  bool carries() const override { return true; }

 private:
  std::uint64_t time_, seed_;
  std::uint64_t windows_ = 0, offsets_ = 0;  // in a stream; that can be drawn
};

}  // namespace sluice::text
