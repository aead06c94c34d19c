#pragma once

#include <functional>
#include <span>
#include <vector>

#include "sluice/model/gated_conv_lm.h"
#include "sluice/model/sampler.h"

namespace sluice::model {

// The words that may follow some texts, as far as they are known: of an adaptive softmax the head
// always, tails once somebody asks for them, since most words can be drawn without (Sampler). Rows
// number the texts. The bits of a row depend neither on the others nor on what is asked for first.
class NextWords {
 public:
  // After these tokens of a state (GatedConvLm::log_probabilities). Model and state must outlive
  // the calls of add() and draw(), and the state stay as it is.
  void start(const GatedConvLm& model, GatedConvLm::State& state, std::span<const Index> tokens);

  Index rows() const { return static_cast<Index>(tokens_.size()); }
  // Valid until the next change.
  const std::vector<WordPart>& parts(Index row);
  // Makes a part known to rows that do not know it: one pass over its weights for all of them.
  void add(std::size_t part, std::span<const Index> rows);
  // How many rows know a part.
  Index known(std::size_t part) const;

 private:
  // Of a tail: what is known, [rows that know it, words], and by row where; -1: not.
  struct Tail {
    std::vector<Real> log_p;
    std::vector<Index> place;
    Index known = 0;
  };

  const GatedConvLm* model_ = nullptr;
  GatedConvLm::State* state_ = nullptr;
  std::vector<Index> tokens_;
  std::vector<Real> head_;  // [rows, head's words and tails]
  std::vector<Tail> tails_;
  std::vector<WordPart> parts_;
};

// A word for every row, as its sampler draws it from the parts it is given, and the log-probability
// of that word.
struct DrawnWord {
  int word = -1;
  Real log_probability = 0;
};
using SamplerOfRow = std::function<Draw(Index row, std::span<const WordPart> parts)>;
std::vector<DrawnWord> draw_words(NextWords& next, const SamplerOfRow& draw);

}  // namespace sluice::model
