#include "sluice/train/plan.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "sluice/base/memory.h"
#include "sluice/eval/evaluation.h"

namespace sluice::train {
namespace {

using kernels::Array;

double real_bytes(Index numbers) { return static_cast<double>(numbers) * sizeof(Real); }

// Whole windows, and what the last one is short of a whole (model/stream.h keeps both).
double stream_bytes(const model::GatedConvLm& network, std::uint64_t tokens) {
  const auto window = static_cast<std::uint64_t>(eval::kWindow);
  const auto bytes = [&](std::uint64_t time) {
    return network.state(1, static_cast<Index>(time), false)->activation_bytes();
  };
  return (tokens >= window ? bytes(window) : 0) +
         (tokens % window > 0 ? bytes(tokens % window) : 0);
}

double evaluation_bytes(const model::GatedConvLm& network, const ValidationText& valid) {
  if (valid.mode == text::Mode::kStream) return stream_bytes(network, valid.tokens);
  // Lines that do not fit into a window become streams, beside the window of the others.
  const auto window = static_cast<std::uint64_t>(eval::kWindow);
  return stream_bytes(network, window) +
         (valid.longest_line > window ? stream_bytes(network, valid.longest_line) : 0);
}

}  // namespace

double MemoryPlan::total() const {
  return values + gradients + states + averages + activations + softmax + working + evaluation +
         rest;
}

MemoryPlan plan_memory(const model::GatedConvLm& network, const model::GatedConvLm::State& batch,
                       const ValidationText& valid) {
  // First, because what follows takes memory itself.
  const double resident = static_cast<double>(resident_memory().now);
  const nn::ParameterStore& store = network.parameters();
  Index stored = 0, largest = 0;
  for (const nn::Parameter& parameter : store.parameters()) {
    stored += parameter.stored;
    largest = std::max(largest, parameter.elements());
  }
  const auto of = [&](Array array) { return store.arrays().has(array) ? real_bytes(stored) : 0; };
  MemoryPlan plan = {.values = of(Array::kValue),
                     .gradients = of(Array::kGradient),
                     .states = of(Array::kState0) + of(Array::kState1),
                     .averages = of(Array::kAverage),
                     .activations = batch.activation_bytes(),
                     .softmax = batch.softmax_bytes()};
  const kernels::WorkingMemory working =
      network.backend().working_memory(store.weights(), batch.map());
  plan.working = working.now;
  plan.rest = std::max(0.0, resident - plan.total());
  plan.working = working.training;
  if (network.backend().precision() == kernels::Precision::kF32) {
    plan.working += network.weight_drop_bytes();
  }
  // A validation has gone when a file is written, tensor by tensor.
  const double evaluation = evaluation_bytes(network, valid);
  plan.evaluation = std::max(evaluation, real_bytes(largest));
  // A run in fewer bits ends with another network, in f32, after its batch is gone.
  if (network.backend().precision() != kernels::Precision::kF32) {
    plan.evaluation =
        std::max(plan.evaluation, plan.values + evaluation - plan.activations - plan.softmax);
  }
  return plan;
}

double steps_left(const TrainConfig& config, const TrainState& state, std::uint64_t last_sample,
                  Index samples_per_step) {
  double steps = std::numeric_limits<double>::infinity();
  if (config.max_steps) steps = static_cast<double>(*config.max_steps - state.step);
  if (config.max_epochs) {
    const double samples = static_cast<double>(last_sample) - static_cast<double>(state.samples);
    steps = std::min(steps, std::ceil(samples / static_cast<double>(samples_per_step)));
  }
  return std::max(0.0, steps);
}

double time_forward(const model::GatedConvLm& network, const text::Batcher& batches,
                    text::Batch& batch, model::GatedConvLm::State& memory) {
  using Clock = std::chrono::steady_clock;
  batches.load_largest(batch);
  memory.reshape(batch.sequences, batch.time);
  double seconds = 0;
  // The first pass is slow: it touches memory that nobody has touched before.
  for (int pass = 0; pass < 3; ++pass) {
    const auto begin = Clock::now();
    network.forward(batch.inputs, batch.targets, memory);
    seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return seconds * batches.mean_load();
}

double seconds_of(const TrainConfig& config, double steps, double forward, double valid_batches) {
  // Backward is two more products for each of forward's.
  const double step = 3 * forward * static_cast<double>(config.accumulate_steps);
  const double validations = steps / static_cast<double>(config.eval_every) + 1;
  return steps * step + validations * forward * valid_batches;
}

LengthPlan plan_length(const TrainConfig& config, const TrainState& state,
                       std::uint64_t last_sample, Index samples_per_step, double forward,
                       double valid_batches) {
  LengthPlan plan;
  plan.steps = steps_left(config, state, last_sample, samples_per_step);
  plan.seconds = seconds_of(config, plan.steps, forward, valid_batches);
  if (!config.max_time) return plan;
  const double left = std::max(0.0, config.max_time->value - state.elapsed_seconds);
  if (left >= plan.seconds) return plan;
  // As many as the time lets through, validations included.
  const double hundred = seconds_of(config, 100, forward, valid_batches);
  return {.steps = std::floor(left / hundred * 100), .seconds = left, .bounded_by_time = true};
}

DiskPlan plan_disk(const nn::ParameterStore& store, const ModelInfo& info, double carried,
                   Index keep_last) {
  const double parameters = real_bytes(store.elements());
  DiskPlan plan;
  plan.model = parameters + static_cast<double>(info.tokenizer.size()) +
               static_cast<double>(info.permutation.size() * sizeof(int));
  // All arrays but the gradient.
  plan.checkpoint = plan.model + parameters * (store.arrays().size() - 2) + carried;
  // While the newest checkpoint is written, the oldest is still there.
  plan.most = (static_cast<double>(keep_last) + 1) * plan.checkpoint + plan.model;
  return plan;
}

}  // namespace sluice::train
