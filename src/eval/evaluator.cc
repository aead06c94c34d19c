#include "sluice/eval/evaluator.h"

#include <utility>

#include "sluice/eval/line_evaluator.h"

namespace sluice::eval {

bool Evaluator::add(std::span<const int> ids, const std::vector<bool>& oov) {
  for (std::size_t i = 0; i < ids.size() && !stopped_; ++i) {
    add_token(permutation_.to_model(ids[i]), !oov.empty() && oov[i]);
  }
  return !stopped_;
}

bool Evaluator::finish() {
  if (!stopped_) flush();
  return !stopped_;
}

void Evaluator::pass(std::uint64_t tokens) {
  scored_ += tokens;
  stopped_ = passed_ != nullptr && !passed_(scored_);
}

StreamEvaluator::StreamEvaluator(const model::GatedConvLm& model,
                                 const text::Permutation& permutation, int end_of_line,
                                 Passed passed, WindowObserver observe)
    : Evaluator(permutation, std::move(passed)),
      stream_(model, kWindow),
      observe_(std::move(observe)),
      previous_(permutation.to_model(end_of_line)) {}

void StreamEvaluator::add_token(int model_id, bool oov) {
  inputs_.push_back(previous_);
  targets_.push_back(previous_ = model_id);
  oov_.push_back(oov);
  // Windows fill up whatever the lines: the cost does not depend on how the text is cut.
  if (targets_.size() == static_cast<std::size_t>(kWindow)) flush();
}

void StreamEvaluator::flush() {
  if (targets_.empty()) return;
  nats_.resize(targets_.size());
  stream_.score(inputs_, targets_, nats_);
  count(nats_, oov_.cbegin());
  if (observe_ != nullptr) {
    observe_({.inputs = inputs_,
              .targets = targets_,
              .oov = oov_.cbegin(),
              .nats = nats_,
              .hidden = stream_.last().hidden()});
  }
  inputs_.clear();
  targets_.clear();
  oov_.clear();
  pass(nats_.size());
}

std::unique_ptr<Evaluator> make_evaluator(text::Mode mode, const model::GatedConvLm& model,
                                          const text::Permutation& permutation, int end_of_line,
                                          Evaluator::Passed passed, WindowObserver observe) {
  if (mode == text::Mode::kLines) {
    return std::make_unique<LineEvaluator>(model, permutation, end_of_line, std::move(passed));
  }
  return std::make_unique<StreamEvaluator>(model, permutation, end_of_line, std::move(passed),
                                           std::move(observe));
}

}  // namespace sluice::eval
