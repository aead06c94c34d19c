#pragma once

#include <memory>
#include <span>
#include <vector>

#include "sluice/model/next_words.h"
#include "sluice/model/stream.h"

namespace sluice::model {

// Texts that advance together, a token each, with one pass over the weights for all of them: what
// Stream is for one. What comes out for a text is the same, bit for bit, whatever else is in the
// batch, and the same as from a Stream that is fed its tokens one by one. The model must outlive
// it.
class BatchStream {
 public:
  // Where a text of the next batch comes from: a prompt that was fed to a stream, alone and in wide
  // windows, or a sequence of the batch before. Each may go on in several, or in none.
  struct Origin {
    const Stream* prompt = nullptr;
    Index sequence = 0;  // without a prompt
  };

  explicit BatchStream(const GatedConvLm& model) : model_(model) {}

  // The next batch: text i goes on from origins[i] with words[i] (model ids); at least one.
  void advance(std::span<const Origin> origins, std::span<const int> words);
  // Texts in the batch.
  Index size() const { return last_.state == nullptr ? 0 : last_.state->map().sequences; }
  // Log-probabilities of all words after the last one of each text: [size(), V].
  void next(std::span<Real> log_probabilities);
  // The same as far as it is needed, row i for text i; until the batch advances.
  void next(NextWords& words);

 private:
  // A state and the most texts that it has memory for.
  struct Buffer {
    std::unique_ptr<GatedConvLm::State> state;
    Index most = 0;
  };
  std::vector<Index> tokens() const;
  // Makes the spare state ready for so many texts.
  void lay_out_spare(Index texts);

  const GatedConvLm& model_;
  Buffer last_, spare_;
  std::vector<Index> sources_;
};

}  // namespace sluice::model
