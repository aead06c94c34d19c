#include "sluice/eval/dynamic_evaluator.h"

#include <Eigen/Core>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::eval {

using kernels::Array;

DynamicEvaluator::DynamicEvaluator(model::GatedConvLm& adapted, const model::GatedConvLm& trained,
                                   ThreadPool& pool, const DynamicSettings& settings,
                                   WindowObserver observe)
    : adapted_(adapted),
      trained_(trained),
      pool_(pool),
      settings_(settings),
      observe_(std::move(observe)),
      state_(adapted.state(1, settings.segment, true)) {
  assert(settings.segment >= 1 && &adapted.backend() == &trained.backend());
  assert(adapted.config().activation_l2 == 0 && adapted.config().activation_change_l2 == 0);
  assert(adapted.parameters().arrays().has(Array::kState0));
}

void DynamicEvaluator::add(const ScoredWindow& window) {
  auto oov = window.oov;
  for (std::size_t i = 0; i < window.targets.size(); ++i) {
    inputs_.push_back(window.inputs[i]);
    targets_.push_back(window.targets[i]);
    oov_.push_back(*oov++);
    if (static_cast<Index>(targets_.size()) < settings_.segment) continue;
    if (continues_) state_->carry_context(*state_);
    continues_ = true;
    score(*state_);
    step();
  }
}

void DynamicEvaluator::finish() {
  if (targets_.empty()) return;
  const auto last = adapted_.state(1, static_cast<Index>(targets_.size()), false);
  if (continues_) last->carry_context(*state_);
  score(*last);
}

void DynamicEvaluator::score(model::GatedConvLm::State& state) {
  const model::Loss loss = adapted_.forward(inputs_, targets_, state);
  if (!std::isfinite(loss.nats)) {
    throw Error(
        ExitCode::kDiverged,
        "dynamic evaluation: {} nats for {} tokens after {}, with lr {} (expected a number); "
        "take a smaller one",
        loss.nats, targets_.size(), totals_.tokens, settings_.lr);
  }
  const std::span<const double> nats = adapted_.nats(state);
  count(totals_, nats, oov_.cbegin());
  if (observe_ == nullptr) return;
  observe_({.inputs = inputs_,
            .targets = targets_,
            .oov = oov_.cbegin(),
            .nats = nats,
            .hidden = state.hidden()});
}

void DynamicEvaluator::step() {
  adapted_.backward(inputs_, *state_);
  adapted_.parameters().update({.kind = kernels::UpdateKind::kSgd,
                                .lr = settings_.lr,
                                .scale = 1 / static_cast<double>(targets_.size())});
  if (settings_.decay > 0) lean_back();
  inputs_.clear();
  targets_.clear();
  oov_.clear();
}

void DynamicEvaluator::lean_back() {
  nn::ParameterStore& store = adapted_.parameters();
  for (const auto& weights : store.weights()) adapted_.backend().catch_up(*weights);
  using Values = Eigen::Map<Eigen::Array<Real, Eigen::Dynamic, 1>>;
  constexpr Index kChunk = 1 << 16;
  auto trained = trained_.parameters().parameters().begin();
  for (const nn::Parameter& parameter : store.parameters()) {
    // The same backend and shape, so the same layout.
    Real* values = parameter.slices[Array::kValue];
    Real* goal = (trained++)->slices[Array::kValue];
    pool_.run((parameter.stored + kChunk - 1) / kChunk, [&](Index chunk, int) {
      const Index begin = chunk * kChunk, size = std::min(kChunk, parameter.stored - begin);
      Values now(values + begin, size);
      now += static_cast<Real>(settings_.decay) * (Values(goal + begin, size) - now);
    });
  }
  store.refresh();
}

Totals DynamicEvaluator::result(const Totals& plain) const {
  Totals totals = plain;
  totals.nats = totals_.nats;
  totals.squared_nats = totals_.squared_nats;
  totals.oov_nats = totals_.oov_nats;
  return totals;
}

}  // namespace sluice::eval
