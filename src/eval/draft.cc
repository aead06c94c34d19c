#include "sluice/eval/draft.h"

#include <Eigen/Core>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "sluice/base/error.h"

namespace sluice::eval {

std::vector<int> opening_words(const Writer& writer, std::span<const int> prompt) {
  const int end_of_line = writer.tokenizer->end_of_line();
  assert(!writer.lines || std::find(prompt.begin(), prompt.end(), end_of_line) == prompt.end());
  std::vector<int> words = {writer.permutation->to_model(end_of_line)};
  for (const int id : prompt) words.push_back(writer.permutation->to_model(id));
  return words;
}

void check_finite(const Writer& writer, std::span<const Real> log_probabilities) {
  const model::WordPart all = {.end = static_cast<Index>(log_probabilities.size()),
                               .log_p = log_probabilities};
  check_finite(writer, {&all, 1});
}

void check_finite(const Writer& writer, std::span<const model::WordPart> parts) {
  // What is not finite may show in a part of an adaptive softmax only. Words may be impossible, but
  // not every one.
  using Values = Eigen::Map<const Eigen::Array<Real, Eigen::Dynamic, 1>>;
  Real largest = -std::numeric_limits<Real>::infinity();
  bool finite = true;
  for (const model::WordPart& part : parts) {
    const Values values(part.log_p.data(), static_cast<Index>(part.log_p.size()));
    const Real own =
        part.known() ? part.log_mass + values.maxCoeff<Eigen::PropagateNaN>() : part.log_mass;
    finite = finite && !std::isnan(own);
    largest = std::max(largest, own);
  }
  if (finite && std::isfinite(largest)) return;
  throw Error(ExitCode::kBadData, "{}: its probabilities are not finite: the run diverged",
              writer.source);
}

Draft::Draft(const Writer& writer, int previous)
    : writer_(&writer), previous_(previous), stop_(writer.stop) {
  if (writer.max_tokens == 0) finished_ = FinishReason::kLength;
}

std::string Draft::add(int word, double log_probability) {
  assert(!finished_);
  ++tokens_;
  logprob_nats_ += log_probability;
  const int id = writer_->permutation->to_tokenizer(word);
  std::string certain;
  if (writer_->lines && id == writer_->tokenizer->end_of_line()) {
    finished_ = FinishReason::kEnd;
  } else {
    std::string bytes;
    writer_->tokenizer->decode(id, previous_, bytes);
    previous_ = id;
    certain = stop_.add(characters_.add(bytes));
    if (stop_.stopped()) {
      finished_ = FinishReason::kStop;
    } else if (tokens_ == writer_->max_tokens) {
      finished_ = FinishReason::kLength;
    }
  }
  if (finished_) certain += stop_.finish();
  text_ += certain;
  return certain;
}

std::string Draft::break_off() {
  const std::string certain = stop_.finish();
  text_ += certain;
  return certain;
}

Sample sample_of(const Draft& draft) {
  return {.text = draft.text(),
          .tokens = draft.tokens(),
          .logprob_nats = draft.logprob_nats(),
          .finish = draft.finished().value_or(FinishReason::kLength)};
}

}  // namespace sluice::eval
