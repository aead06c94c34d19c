#include "sluice/model/stream.h"

#include <algorithm>
#include <cassert>

namespace sluice::model {

Stream::Stream(const GatedConvLm& model, Index window) : model_(model), window_(window) {
  assert(window >= 1);
}

GatedConvLm::State& Stream::advance(Index length) {
  std::shared_ptr<GatedConvLm::State>& state = length == window_ ? whole_
                                               : length == 1     ? single_
                                                                 : odd_;
  if (state == nullptr || state->map().time != length) state = model_.state(1, length, false);
  if (last_ != nullptr) state->carry_context(*last_);
  last_ = state;
  return *state;
}

void Stream::score(std::span<const int> inputs, std::span<const int> targets,
                   std::span<double> nats) {
  assert(inputs.size() == targets.size() && inputs.size() == nats.size());
  while (!inputs.empty()) {
    const std::size_t length = std::min(inputs.size(), static_cast<std::size_t>(window_));
    GatedConvLm::State& state = advance(static_cast<Index>(length));
    model_.forward(inputs.first(length), targets.first(length), state);
    const std::span<const double> scored = model_.nats(state);
    std::copy(scored.begin(), scored.end(), nats.begin());
    inputs = inputs.subspan(length);
    targets = targets.subspan(length);
    nats = nats.subspan(length);
  }
}

void Stream::feed(std::span<const int> inputs) {
  while (!inputs.empty()) {
    const std::size_t length = std::min(inputs.size(), static_cast<std::size_t>(window_));
    model_.forward_hidden(inputs.first(length), advance(static_cast<Index>(length)));
    inputs = inputs.subspan(length);
  }
}

void Stream::feed_prompt(std::span<const int> inputs) {
  assert(!inputs.empty());
  feed(inputs.first(inputs.size() - 1));
  feed(inputs.last(1));
  whole_ = odd_ = nullptr;
}

void Stream::next(std::span<Real> log_probabilities) const {
  assert(last_ != nullptr);
  model_.log_probabilities(*last_, last_->map().time - 1, log_probabilities);
}

void Stream::next(NextWords& words) const {
  assert(last_ != nullptr);
  const Index last = last_->map().time - 1;
  words.start(model_, *last_, {&last, 1});
}

}  // namespace sluice::model
