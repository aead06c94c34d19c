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
// Lines of like length share a batch, as long as its longest: as many as take the memory, and so
// the time, of batch_size sequences of T, context rows included. So a step sees about as many
// targets whatever their lines, and a text with many short or empty lines has few batches of them.
// Lengths are put into classes, eight an octave; in each epoch the samples of a class are permuted,
// all of them lined up class by class and cut into batches, and the batches permuted. Where the
// cuts are depends on the lengths alone. So every target comes once an epoch, and a batch is padded
// over the width of its class, or of the classes that it takes to fill it.
//
// A batch counts as batch_size samples, however many lines it has. Memory: 8 bytes a line or piece,
// and 8 a batch.
class LinesBatcher : public Batcher {
 public:
  // context: rows that a sequence takes beside its targets. Error kBadData as Batcher, and where
  // the line starts of the token file are damaged; kNoResource when the samples do not fit into
  // memory.
  LinesBatcher(TokenFile tokens, const Permutation& permutation, int end_of_line,
               Index tokens_per_sample, Index batch_size, Index context, std::uint64_t seed);
  // first_sample: a multiple of the batch size.
  void load(std::uint64_t first_sample, Batch& batch) const override;
  void load_largest(Batch& batch) const override;

 private:
  // One line or piece: where its targets are in the text.
  struct Sample {
    std::uint64_t begin, length;
  };
  // Counts the samples of each class, puts them there, and cuts them into batches.
  void count_classes();
  void fill_classes();
  void cut_batches(std::uint64_t context);
  void load_batch(std::uint64_t epoch_key, std::uint64_t number, Batch& batch) const;
  Sample sample(std::uint64_t epoch_key, std::uint64_t place) const;
  std::uint64_t batches() const { return batch_begin_.size() - 1; }

  std::uint64_t time_, seed_, largest_ = 0;
  // Samples by class, packed, and where each class and each batch begins; the last entries are
  // their number.
  std::vector<std::uint64_t> samples_, class_begin_, batch_begin_;
};

}  // namespace sluice::text
