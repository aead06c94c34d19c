#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/text/batcher.h"

namespace sluice::train {

// Words without a text: drawn one by one with the frequencies that words have in a natural one,
//   p(w) ~ 1 / (w + 10),  w = 0 the most frequent
// (Zipf's law with Mandelbrot's shift of the ranks). Word n is a function of (seed, n). For timing:
// which rows of the tables and which tails of a softmax a batch touches depends on the frequencies,
// and nothing else of a step does on the text.
class ZipfText {
 public:
  // vocabulary >= 1: words.
  ZipfText(Index vocabulary, std::uint64_t seed);

  int word(std::uint64_t n) const;
  // Of the words [begin, end) together.
  double probability(Index begin, Index end) const;
  // How often each word comes in so many, on average and at least once; in descending order.
  std::vector<std::uint64_t> counts(std::uint64_t tokens) const;
  // The shares of the targets in the tails of an adaptive softmax with these cutoffs.
  std::vector<double> tail_shares(std::span<const Index> cutoffs) const;
  // Batch `number` of B sequences of T targets, each a window of its own, inputs one word before;
  // the first `context` targets of each are not scored.
  void fill(std::uint64_t number, Index sequences, Index time, text::Batch& batch,
            Index context = 0) const;

 private:
  std::uint64_t key_;
  std::vector<double> below_;  // [V + 1]: the probability of all words before w
};

}  // namespace sluice::train
