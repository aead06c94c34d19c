#pragma once

#include <cstdint>
#include <vector>

#include "sluice/text/batcher.h"

namespace sluice::text {

// Lines mode (DESIGN 5): each line stands for itself. Its inputs are </s> w_1 .. w_n, its targets
// w_1 .. w_n </s>, its hidden context is zero; an empty line is one target. A line of more than T
// targets comes in pieces of T and a rest, samples of their own: the first input of a piece is the
// last target of the one before, its hidden context is zero too.
//
// Lines of like length share a batch, as long as its longest. Lengths are put into classes, eight
// an octave; in each epoch the samples of a class are permuted, all of them lined up class by class
// and cut into batches of B, and the batches permuted. So every target comes once an epoch, and a
// batch is padded over the width of its class alone, or of two. Where B does not divide the
// samples, the batch of the shortest is short: sequences of padding stand in.
//
// Memory: 8 bytes a sample.
class LinesBatcher : public Batcher {
 public:
  // Error kBadData as Batcher, and where the line starts of the token file are damaged;
  // kNoResource when the samples do not fit into memory.
  LinesBatcher(TokenFile tokens, const Permutation& permutation, int end_of_line,
               Index tokens_per_sample, Index batch_size, std::uint64_t seed);
  // first_sample: a multiple of the batch size.
  void load(std::uint64_t first_sample, Batch& batch) const override;
  void load_largest(Batch& batch) const override;

 private:
  // One line or piece: where its targets are in the text.
  struct Sample {
    std::uint64_t begin, length;
  };
  // Counts the samples of each class, then puts them there.
  void count_classes();
  void fill_classes();
  double mean_batch_length() const;
  void load_batch(std::uint64_t epoch_key, std::uint64_t number, Batch& batch) const;
  Sample sample(std::uint64_t epoch_key, std::uint64_t place) const;
  std::uint64_t batches() const;

  std::uint64_t time_, seed_;
  // Samples by class, packed, and where each class begins; the last entry is their number.
  std::vector<std::uint64_t> samples_, class_begin_;
};

}  // namespace sluice::text
