#pragma once

#include <memory>
#include <span>

#include "sluice/model/gated_conv_lm.h"
#include "sluice/model/next_words.h"

namespace sluice::model {

// One running text through a model, exactly: the context of every layer is carried from window to
// window, so each token sees its full receptive field, and what comes out depends neither on how
// the text is cut nor on what else runs. Before the first token the context is zeros. Scoring and
// prompts run at the speed of wide windows, one token at a time costs one pass over the weights,
// whatever the history. The model must outlive it.
class Stream {
 public:
  // window: tokens per pass for long inputs; memory grows with it, results do not depend on it.
  explicit Stream(const GatedConvLm& model, Index window = 1024);

  // Feeds inputs (model ids) and returns -log p of each target in nats.
  void score(std::span<const int> inputs, std::span<const int> targets, std::span<double> nats);
  // Feeds inputs without scoring.
  void feed(std::span<const int> inputs);
  // The same for a whole prompt that others go on from: the last token comes by itself, and the
  // memory of wide windows is freed.
  void feed_prompt(std::span<const int> inputs);
  // Log-probabilities of all words after the last input: [V].
  void next(std::span<Real> log_probabilities) const;
  // The same as far as it is needed, as row 0; until the stream goes on.
  void next(NextWords& words) const;
  // What was fed last, for a batch of texts that go on from it (model/batch_stream.h).
  const GatedConvLm::State& last() const { return *last_; }

 private:
  // The state for the next `length` tokens, with the context carried over.
  GatedConvLm::State& advance(Index length);

  const GatedConvLm& model_;
  Index window_;
  // A state per length in use: whole windows, single tokens, and the last odd length.
  std::shared_ptr<GatedConvLm::State> whole_, single_, odd_, last_;
};

}  // namespace sluice::model
