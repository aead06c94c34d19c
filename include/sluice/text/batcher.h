#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sluice/base/real.h"
#include "sluice/text/permutation.h"
#include "sluice/text/token_file.h"

namespace sluice::text {

// B sequences of T positions, sequence by sequence. Model ids. target -1: not scored (padding).
struct Batch {
  Index sequences = 0, time = 0;
  std::vector<int> inputs, targets;  // [B*T]
  Index scored = 0;                  // targets that are not -1
};

// Stream mode (DESIGN 5): in epoch e the token stream is cut into windows of T targets starting at
// a drawn offset o(e) in [0, T) (a first window of o(e) targets is then partial); inputs are the
// targets shifted by one, </s> before the first token. Partial windows are padded and masked. The
// windows of an epoch come in a seeded permutation; epochs are concatenated, so that no batch is
// short; offsets are drawn such that all epochs have equally many windows, and what sample n is
// depends on n alone: a seek costs one division.
class StreamBatcher {
 public:
  // `end_of_line` is the tokenizer id of </s>; `permutation` must outlive the batcher. Error
  // kBadData when the corpus is shorter than one window (naming tokens found and needed) or encoded
  // with a vocabulary of another size.
  StreamBatcher(TokenFile tokens, const Permutation& permutation, int end_of_line,
                Index tokens_per_sample, Index batch_size, std::uint64_t seed);

  // Fills the batch with the samples [first, first + batch_size). Errors as TokenFile::read.
  void load(std::uint64_t first_sample, Batch& batch) const;

  // Where sample n falls.
  struct Position {
    std::uint64_t epoch = 0;
    std::uint64_t sample = 0;            // within the epoch, before permuting
    std::uint64_t samples_in_epoch = 0;  // of that epoch
  };
  Position locate(std::uint64_t sample) const;
  // Sample with which epoch e starts.
  std::uint64_t epoch_start(std::uint64_t epoch) const;

 private:
  TokenFile tokens_;
  const Permutation* permutation_;
  int end_of_line_;
  Index time_, batch_size_;
  std::uint64_t seed_, samples_in_epoch_ = 0;
};

}  // namespace sluice::text
