#include "sluice/model/batch_stream.h"

#include <cassert>
#include <numeric>
#include <utility>

namespace sluice::model {

void BatchStream::lay_out_spare(Index texts) {
  if (texts > spare_.most) {
    spare_ = {.state = model_.state(texts, 1, false), .most = texts};
  } else if (spare_.state->map().sequences != texts) {
    // Texts end one by one: to allocate anew each time would cost more than a token.
    spare_.state->reshape(texts, 1);
  }
}

void BatchStream::advance(std::span<const Origin> origins, std::span<const int> words) {
  assert(!origins.empty() && origins.size() == words.size());
  lay_out_spare(static_cast<Index>(origins.size()));
  // One source of contexts at a time; the others' sequences are left as they are.
  const auto carry = [&](const Stream* prompt, const GatedConvLm::State& from) {
    sources_.assign(origins.size(), -1);
    for (std::size_t i = 0; i < origins.size(); ++i) {
      if (origins[i].prompt == prompt) sources_[i] = prompt != nullptr ? 0 : origins[i].sequence;
    }
    spare_.state->carry_context(from, sources_);
  };
  bool goes_on = false;
  for (std::size_t i = 0; i < origins.size(); ++i) {
    const Stream* prompt = origins[i].prompt;
    goes_on = goes_on || prompt == nullptr;
    // The samples of a prompt stand side by side.
    if (prompt != nullptr && (i == 0 || origins[i - 1].prompt != prompt)) {
      carry(prompt, prompt->last());
    }
  }
  assert(!goes_on || last_.state != nullptr);
  if (goes_on) carry(nullptr, *last_.state);
  std::swap(last_, spare_);
  model_.forward_hidden(words, *last_.state);
}

std::vector<Index> BatchStream::tokens() const {
  assert(last_.state != nullptr);
  std::vector<Index> tokens(static_cast<std::size_t>(size()));
  std::iota(tokens.begin(), tokens.end(), Index{0});
  return tokens;
}

void BatchStream::next(std::span<Real> log_probabilities) {
  model_.log_probabilities(*last_.state, tokens(), log_probabilities);
}

void BatchStream::next(NextWords& words) { words.start(model_, *last_.state, tokens()); }

}  // namespace sluice::model
