#include "sluice/eval/line_evaluator.h"

#include <algorithm>
#include <utility>

namespace sluice::eval {
namespace {

constexpr auto kLongest = static_cast<std::size_t>(kWindow);  // that is not a stream
// Tokens among which lines of like length are looked for.
constexpr std::size_t kBlock = 32 * kLongest;

}  // namespace

LineEvaluator::LineEvaluator(const model::GatedConvLm& model, const text::Permutation& permutation,
                             int end_of_line, Passed passed)
    : Evaluator(permutation, std::move(passed)),
      model_(model),
      end_of_line_(permutation.to_model(end_of_line)),
      previous_(end_of_line_) {}

void LineEvaluator::add_token(int model_id, bool oov) {
  inputs_.push_back(previous_);
  targets_.push_back(previous_ = model_id);
  oov_.push_back(oov);
  const std::size_t length = targets_.size() - line_begin_;
  const bool ends = model_id == end_of_line_;
  if (!ends && length < kLongest) return;
  if (!ends || long_line_) {
    score_long();
    if (ends) long_line_.reset();
    return;
  }
  lines_.push_back({line_begin_, length});
  line_begin_ = targets_.size();
  if (line_begin_ >= kBlock) score_block();
}

void LineEvaluator::flush() {
  if (line_begin_ < targets_.size()) {
    // A text ends its last line; whoever does not has it scored as far as it came.
    score_long();
    long_line_.reset();
  }
  if (!stopped()) score_block();
}

void LineEvaluator::score_long() {
  if (!long_line_) long_line_.emplace(model_, kWindow);
  const auto tail = [&](const std::vector<int>& all) {
    return std::span(all).subspan(line_begin_);
  };
  nats_.resize(targets_.size() - line_begin_);
  long_line_->score(tail(inputs_), tail(targets_), nats_);
  count(nats_, oov_.cbegin() + static_cast<std::ptrdiff_t>(line_begin_));
  inputs_.resize(line_begin_);
  targets_.resize(line_begin_);
  oov_.resize(line_begin_);
  pass(nats_.size());
}

void LineEvaluator::score_block() {
  std::stable_sort(lines_.begin(), lines_.end(),
                   [](const Line& a, const Line& b) { return a.length > b.length; });
  nats_.resize(line_begin_);
  const auto context = static_cast<std::size_t>(model::context_rows(model_.config()));
  std::span<const Line> left = lines_;
  while (!left.empty() && !stopped()) {
    // As many as have the rows of a window.
    const std::size_t fit = (kLongest + context) / (left.front().length + context);
    const std::size_t batch = std::min(fit, left.size());
    score_batch(left.first(batch));
    left = left.subspan(batch);
  }
  if (stopped()) return;
  count(nats_, oov_.cbegin());
  inputs_.clear();
  targets_.clear();
  oov_.clear();
  lines_.clear();
  line_begin_ = 0;
}

void LineEvaluator::score_batch(std::span<const Line> lines) {
  const std::size_t time = lines.front().length;
  batch_inputs_.assign(lines.size() * time, end_of_line_);
  batch_targets_.assign(lines.size() * time, -1);
  const auto at = [](auto& all, std::size_t position) {
    return all.begin() + static_cast<std::ptrdiff_t>(position);
  };
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto [begin, length] = lines[i];
    std::copy_n(at(inputs_, begin), length, at(batch_inputs_, i * time));
    std::copy_n(at(targets_, begin), length, at(batch_targets_, i * time));
  }
  if (state_ == nullptr) state_ = model_.state(1, kWindow, false);
  state_->reshape(static_cast<Index>(lines.size()), static_cast<Index>(time));
  model_.forward(batch_inputs_, batch_targets_, *state_);
  const std::span<const double> scored = model_.nats(*state_);
  std::uint64_t tokens = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto [begin, length] = lines[i];
    std::copy_n(at(scored, i * time), length, at(nats_, begin));
    tokens += length;
  }
  pass(tokens);
}

}  // namespace sluice::eval
