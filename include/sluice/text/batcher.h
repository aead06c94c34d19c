#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sluice/base/real.h"
#include "sluice/text/permutation.h"
#include "sluice/text/text_config.h"
#include "sluice/text/token_file.h"

namespace sluice::text {

// B sequences of T positions, sequence by sequence. Model ids. target -1: not scored (padding).
struct Batch {
  Index sequences = 0, time = 0;
  std::vector<int> inputs, targets;  // [B*T]
  Index scored = 0;                  // targets that are not -1
  // Whether each sequence goes on where that of the batch before ends.
  bool continues = false;
};

// What the batches of a run are: a function of the text, the seed and a number. Samples are
// numbered over the concatenated epochs, which are all equally long, so that a seek costs one
// division.
class Batcher {
 public:
  virtual ~Batcher() = default;
  // Fills the batch with the samples [first, first + batch_size). Errors as TokenFile::read.
  virtual void load(std::uint64_t first_sample, Batch& batch) const = 0;
  // A batch about as large as the largest, for what memory and time are measured on, and the mean
  // over an epoch as a part of it.
  virtual void load_largest(Batch& batch) const = 0;
  double mean_load() const { return mean_load_; }
  // Whether there are batches that continue others; all have the same shape then.
  virtual bool carries() const { return false; }

  // Where sample n falls.
  struct Position {
    std::uint64_t epoch = 0;
    std::uint64_t sample = 0;            // within the epoch, before permuting
    std::uint64_t samples_in_epoch = 0;  // of that epoch
  };
  Position locate(std::uint64_t sample) const;
  // Sample with which epoch e starts.
  std::uint64_t epoch_start(std::uint64_t epoch) const { return epoch * samples_in_epoch_; }

 protected:
  // `end_of_line` is the tokenizer id of </s>; `permutation` must outlive the batcher. Error
  // kBadData when the text was encoded with a vocabulary of another size.
  Batcher(TokenFile tokens, const Permutation& permutation, int end_of_line, Index batch_size);
  void set_epoch(std::uint64_t samples, double mean_load);

  const TokenFile& tokens() const { return tokens_; }
  Index batch_size() const { return batch_size_; }
  // Lays out sequences of nothing but padding, inputs </s>.
  void clear(Index sequences, Index time, Batch& batch) const;
  // Sequence b: targets [begin, end) of the text, inputs those one before, </s> before the first.
  // In front of them come up to `context` tokens that are there to be read, not scored.
  void fill(Index b, std::uint64_t begin, std::uint64_t end, Batch& batch,
            std::uint64_t context = 0) const;

 private:
  TokenFile tokens_;
  const Permutation* permutation_;
  int end_of_line_;
  Index batch_size_;
  double mean_load_ = 0;
  std::uint64_t samples_in_epoch_ = 0;
};

// Stream mode (DESIGN 5): in epoch e the token stream is cut into windows of T targets starting at
// a drawn offset o(e) in [0, T) (a first window of o(e) targets is then partial); inputs are the
// targets shifted by one, </s> before the first token. Partial windows are padded and masked. The
// windows of an epoch come in a seeded permutation; epochs are concatenated, so that no batch is
// short; offsets are drawn such that all epochs have equally many windows, and what sample n is
// depends on n alone.
//
// With context tokens, C, the inputs of a window begin C tokens earlier, or at the start of the
// text, and the targets there are -1: a window is then up to C + T positions long, its targets are
// as before. C of the network's receptive field less one, and every target is scored as in one
// whole stream.
class StreamBatcher : public Batcher {
 public:
  // Error kBadData as Batcher, and when the corpus is shorter than one window (naming tokens found
  // and needed).
  StreamBatcher(TokenFile tokens, const Permutation& permutation, int end_of_line,
                Index tokens_per_sample, Index batch_size, std::uint64_t seed,
                Index context_tokens = 0);
  void load(std::uint64_t first_sample, Batch& batch) const override;
  void load_largest(Batch& batch) const override { load(0, batch); }

 private:
  Index time_, context_;
  std::uint64_t seed_;
};

// By mode: StreamBatcher, ContiguousBatcher (text/contiguous_batcher.h) where context is carried,
// or LinesBatcher (text/lines_batcher.h), whose batches all fit into the memory of batch_size
// sequences of positions_per_sample(), each with `context` rows in front. Errors as theirs.
std::unique_ptr<Batcher> make_batcher(const DataConfig& data, TokenFile tokens,
                                      const Permutation& permutation, int end_of_line,
                                      Index context, std::uint64_t seed);

}  // namespace sluice::text
