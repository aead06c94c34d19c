#include "sluice/model/next_words.h"

#include <cassert>
#include <numeric>

namespace sluice::model {

void NextWords::start(const GatedConvLm& model, GatedConvLm::State& state,
                      std::span<const Index> tokens) {
  model_ = &model;
  state_ = &state;
  tokens_.assign(tokens.begin(), tokens.end());
  const nn::SoftmaxShape& shape = model.softmax();
  head_.resize(tokens.size() * static_cast<std::size_t>(shape.head_words() + shape.tails()));
  model.head_log_probabilities(state, tokens, head_);
  tails_.resize(static_cast<std::size_t>(shape.tails()));
  for (Tail& tail : tails_) {
    tail.place.assign(tokens.size(), -1);
    tail.known = 0;
  }
}

const std::vector<WordPart>& NextWords::parts(Index row) {
  const nn::SoftmaxShape& shape = model_->softmax();
  const auto words = static_cast<std::size_t>(shape.head_words());
  const auto head = std::span(head_).subspan(
      static_cast<std::size_t>(row) * (words + tails_.size()), words + tails_.size());
  parts_.clear();
  parts_.push_back({.end = shape.head_words(), .log_p = head.first(words)});
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    const auto tail = static_cast<Index>(i);
    const auto size = static_cast<std::size_t>(shape.tail_words(tail));
    WordPart& part = parts_.emplace_back(WordPart{
        .begin = shape.tail_begin(tail), .end = shape.tail_end(tail), .log_mass = head[words + i]});
    const Index place = tails_[i].place[static_cast<std::size_t>(row)];
    if (place < 0) continue;
    part.log_p = std::span<const Real>(tails_[i].log_p)
                     .subspan(static_cast<std::size_t>(place) * size, size);
  }
  return parts_;
}

void NextWords::add(std::size_t part, std::span<const Index> rows) {
  assert(part > 0 && part <= tails_.size());
  Tail& tail = tails_[part - 1];
  const auto number = static_cast<Index>(part - 1);
  const auto size = static_cast<std::size_t>(model_->softmax().tail_words(number));
  const auto before = static_cast<std::size_t>(tail.known) * size;
  tail.log_p.resize(std::max(tail.log_p.size(), before + rows.size() * size));
  std::vector<Index> tokens;
  for (const Index row : rows) {
    assert(tail.place[static_cast<std::size_t>(row)] < 0);
    tail.place[static_cast<std::size_t>(row)] = tail.known++;
    tokens.push_back(tokens_[static_cast<std::size_t>(row)]);
  }
  model_->tail_log_probabilities(*state_, number, tokens,
                                 std::span(tail.log_p).subspan(before, rows.size() * size));
}

Index NextWords::known(std::size_t part) const {
  return part == 0 ? rows() : tails_[part - 1].known;
}

std::vector<DrawnWord> draw_words(NextWords& next, const SamplerOfRow& draw) {
  std::vector<DrawnWord> drawn(static_cast<std::size_t>(next.rows()));
  std::vector<Index> open(drawn.size());
  std::iota(open.begin(), open.end(), Index{0});
  while (!open.empty()) {
    std::vector<std::vector<Index>> wanted;  // by part, rows
    for (const Index row : open) {
      const std::vector<WordPart>& parts = next.parts(row);
      const Draw result = draw(row, parts);
      wanted.resize(parts.size());
      if (result.word < 0) {
        wanted[result.wanted].push_back(row);
      } else {
        drawn[static_cast<std::size_t>(row)] = {
            .word = result.word, .log_probability = log_probability(parts, result.word)};
      }
    }
    open.clear();
    for (std::size_t part = 0; part < wanted.size(); ++part) {
      if (wanted[part].empty()) continue;
      next.add(part, wanted[part]);
      open.insert(open.end(), wanted[part].begin(), wanted[part].end());
    }
  }
  return drawn;
}

}  // namespace sluice::model
