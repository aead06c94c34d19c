#include "sluice/nn/adaptive_softmax.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace sluice::nn {

using kernels::Activations;
using kernels::Form;
using kernels::Into;
using kernels::Junction;
using kernels::TableRows;

namespace {

double xavier_bound(Index in, Index out) { return std::sqrt(6 / static_cast<double>(in + out)); }

TableRows rows_of(const Table& table, Index begin, Index end) {
  return {.table = &table.weights(), .begin = begin, .end = end};
}

}  // namespace

Index SoftmaxShape::tail_width(Index tail) const {
  Index result = width;
  for (Index i = 0; i <= tail; ++i) result /= tail_div;
  return result;
}

AdaptiveSoftmax::AdaptiveSoftmax(const ParameterScope& scope, const SoftmaxShape& shape,
                                 const Table* tied)
    : store_(scope.store()), shape_(shape) {
  const Index tails = shape.tails();
  if (tails == 0) {
    if (tied == nullptr) {
      head_ = std::make_unique<Table>(
          scope, kernels::TableShape{.rows = shape.words, .width = shape.width},
          shape.bias ? &scope : nullptr, shape.weight_norm);
    }
    head_words_ = {rows_of(tied != nullptr ? *tied : *head_, 0, shape.words)};
    return;
  }
  assert(!shape.bias && !shape.weight_norm && shape.cutoffs.back() < shape.words);
  const Index own = tied != nullptr ? tails : shape.tail_begin(0) + tails;
  head_ = std::make_unique<Table>(scope / (tied != nullptr ? "clusters" : "head"),
                                  kernels::TableShape{.rows = own, .width = shape.width}, nullptr);
  if (tied != nullptr) head_words_.push_back(rows_of(*tied, 0, shape.tail_begin(0)));
  head_words_.push_back(rows_of(*head_, 0, own));
  for (Index i = 0; i < tails; ++i) {
    const ParameterScope name = scope / "tails" / std::to_string(i);
    const Index begin = shape.tail_begin(i), end = shape.tail_end(i), width = shape.tail_width(i);
    Tail& tail = tails_.emplace_back();
    tail.projection = std::make_unique<Product>(
        name / "projection", kernels::ConvShape{.in = shape.width, .out = width}, false, false);
    if (tied != nullptr) {
      assert(tied->shape().width == width);
      tail.words = rows_of(*tied, begin, end);
    } else {
      tail.table = std::make_unique<Table>(
          name, kernels::TableShape{.rows = end - begin, .width = width}, nullptr);
      tail.words = rows_of(*tail.table, 0, end - begin);
    }
  }
}

double AdaptiveSoftmax::Cache::bytes() const {
  const auto of = [](const std::unique_ptr<kernels::SoftmaxTape>& kept) {
    return kept == nullptr ? 0 : static_cast<double>(kept->bytes());
  };
  double sum = of(tape);
  for (const TailCache& tail : tails) sum += of(tail.tape);
  return sum;
}

void AdaptiveSoftmax::wire(Workspace& workspace, Junction& in, Cache& cache,
                           std::size_t turn) const {
  in.dropped = workspace.operand(shape_.width);
  if (workspace.training()) cache.tape = backend().softmax_tape();
  if (tails_.empty()) return;
  in.ddropped = workspace.gradient(shape_.width, Workspace::Gradient::kStream, turn);
  cache.selection.source = workspace.map();
  const auto make = [&](Index channels, Form form) {
    return workspace.selected(cache.selection, channels, form);
  };
  cache.gathered = make(shape_.width, Form::kOperand);
  for (const Tail& tail : tails_) {
    TailCache& memory = cache.tails.emplace_back();
    const Index width = tail.projection->shape().out;
    memory.hidden.producer = &tail.projection->weights();
    memory.hidden.dropped = make(width, Form::kOperand);
    if (!workspace.training()) continue;
    memory.hidden.dz = make(width, Form::kProduct);
    memory.tape = backend().softmax_tape();
  }
}

void AdaptiveSoftmax::assign(std::span<const int> targets, Cache& cache) const {
  cache.targets.assign(targets.begin(), targets.end());
  for (TailCache& tail : cache.tails) {
    tail.tokens.clear();
    tail.targets.clear();
  }
  if (tails_.empty()) return;
  const Index first = shape_.cutoffs.front();
  for (std::size_t token = 0; token < targets.size(); ++token) {
    const Index word = targets[token];
    if (word < first) continue;
    const auto above = std::upper_bound(shape_.cutoffs.begin(), shape_.cutoffs.end(), word);
    const auto tail = above - shape_.cutoffs.begin() - 1;
    TailCache& memory = cache.tails[static_cast<std::size_t>(tail)];
    cache.targets[token] = static_cast<int>(first + tail);
    memory.tokens.push_back(static_cast<Index>(token));
    memory.targets.push_back(static_cast<int>(word - shape_.tail_begin(tail)));
  }
}

void AdaptiveSoftmax::select(const Junction& in, std::span<const Index> tokens,
                             Cache& cache) const {
  cache.selection.tokens.assign(tokens.begin(), tokens.end());
  backend().gather(*in.dropped, *cache.gathered);
}

void AdaptiveSoftmax::forward(const Junction& in, std::span<const int> targets,
                              std::span<double> nats, Cache& cache) const {
  assign(targets, cache);
  backend().softmax_forward(*in.dropped, head_words_, cache.targets, nats, cache.tape.get());
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    TailCache& tail = cache.tails[i];
    if (tail.targets.empty()) continue;
    select(in, tail.tokens, cache);
    backend().conv_forward(*cache.gathered, tails_[i].projection->weights(), tail.hidden);
    tail.nats.resize(tail.targets.size());
    backend().softmax_forward(*tail.hidden.dropped, {&tails_[i].words, 1}, tail.targets, tail.nats,
                              tail.tape.get());
    for (std::size_t row = 0; row < tail.nats.size(); ++row) {
      nats[static_cast<std::size_t>(tail.tokens[row])] += tail.nats[row];
    }
  }
}

void AdaptiveSoftmax::backward(Junction& in, Cache& cache) const {
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    TailCache& tail = cache.tails[i];
    if (tail.targets.empty()) continue;
    kernels::Weights& projection = tails_[i].projection->weights();
    select(in, tail.tokens, cache);
    backend().softmax_backward(*tail.tape, *tail.hidden.dropped, tail.targets,
                               {&tails_[i].words, 1}, tail.hidden, Into::kClose);
    backend().conv_backward_weights(*cache.gathered, *tail.hidden.dz, projection);
    backend().conv_backward_data(*tail.hidden.dz, projection, in, Into::kDropped);
  }
  backend().softmax_backward(*cache.tape, *in.dropped, cache.targets, head_words_, in,
                             Into::kClose);
}

void AdaptiveSoftmax::head_log_probabilities(const Junction& in, std::span<const Index> tokens,
                                             std::span<Real> out) const {
  backend().log_probabilities(*in.dropped, head_words_, tokens, out);
}

void AdaptiveSoftmax::tail_log_probabilities(const Junction& in, Index tail,
                                             std::span<const Index> tokens, std::span<Real> out,
                                             Cache& cache) const {
  const auto number = static_cast<std::size_t>(tail);
  const Junction& hidden = cache.tails[number].hidden;
  select(in, tokens, cache);
  backend().conv_forward(*cache.gathered, tails_[number].projection->weights(),
                         cache.tails[number].hidden);
  std::vector<Index> all(tokens.size());
  std::iota(all.begin(), all.end(), Index{0});
  backend().log_probabilities(*hidden.dropped, {&tails_[number].words, 1}, all, out);
}

void AdaptiveSoftmax::log_probabilities(const Junction& in, std::span<const Index> tokens,
                                        std::span<Real> out, Cache& cache) const {
  if (tails_.empty()) return head_log_probabilities(in, tokens, out);
  const auto words = static_cast<std::size_t>(shape_.words);
  const auto first = static_cast<std::size_t>(shape_.head_words());
  const std::size_t head_size = first + tails_.size();
  std::vector<Real> head(tokens.size() * head_size), part;
  head_log_probabilities(in, tokens, head);
  for (std::size_t row = 0; row < tokens.size(); ++row) {
    std::copy_n(head.data() + row * head_size, first, out.data() + row * words);
  }
  for (std::size_t i = 0; i < tails_.size(); ++i) {
    const auto size = static_cast<std::size_t>(shape_.tail_words(static_cast<Index>(i)));
    const auto begin = static_cast<std::size_t>(shape_.cutoffs[i]);
    part.resize(tokens.size() * size);
    tail_log_probabilities(in, static_cast<Index>(i), tokens, part, cache);
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      const Real cluster = head[row * head_size + first + i];
      const Real* within = part.data() + row * size;
      std::transform(within, within + size, out.data() + row * words + begin,
                     [&](Real log_p) { return cluster + log_p; });
    }
  }
}

void AdaptiveSoftmax::initialise(std::uint64_t seed, double dropout) {
  if (tails_.empty()) {
    if (head_ == nullptr) return;
    head_->initialise(seed, std::sqrt((1 - dropout) / static_cast<double>(shape_.width)));
    return;
  }
  head_->initialise_uniform(seed, xavier_bound(head_->shape().width, head_->shape().rows));
  for (Tail& tail : tails_) {
    const kernels::ConvShape& shape = tail.projection->shape();
    tail.projection->initialise_uniform(seed, xavier_bound(shape.in, shape.out));
    if (tail.table == nullptr) continue;
    tail.table->initialise_uniform(
        seed, xavier_bound(tail.table->shape().width, tail.table->shape().rows));
  }
}

}  // namespace sluice::nn
