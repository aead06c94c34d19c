#include "sluice/train/plan.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/eval/evaluation.h"
#include "tests/support/model_bench.h"

namespace sluice::train {
namespace {

using kernels::Array;
using testing::block;
using testing::ModelBench;
using testing::tiny_config;
using testing::token_batch;

// Large enough for its arrays to be what a process holds.
const model::ModelConfig& medium() {
  static const model::ModelConfig config =
      tiny_config(64, {block({{.kernel = 4, .channels = 128}}, 4)});
  return config;
}
constexpr Index kWords = 3000, kSequences = 4, kTime = 128;

MemoryPlan plan_of(kernels::ArraySet arrays, const ValidationText& valid) {
  ModelBench bench(medium(), kWords, 1, arrays);
  const auto state = bench.model.state(kSequences, kTime, true);
  const auto batch = token_batch(kSequences, kTime, kWords, 1);
  bench.model.forward(batch.inputs, batch.targets, *state);
  return plan_memory(bench.model, *state, valid);
}
MemoryPlan plan_of(kernels::ArraySet arrays, std::uint64_t valid_tokens) {
  return plan_of(arrays, {.tokens = valid_tokens});
}

TEST_CASE("plan_memory: arrays of the parameters, each where it is kept", "[train]") {
  const ModelBench bench(medium(), kWords);
  const double one = 4.0 * static_cast<double>(bench.model.parameters().elements());
  const MemoryPlan values = plan_of({Array::kValue}, 100);
  const double stored = values.values;
  CHECK(stored >= one);
  CHECK(stored <= 1.01 * one);  // a backend's layout may have some padding
  CHECK(values.gradients == 0);
  CHECK(values.states == 0);
  CHECK(values.averages == 0);
  const MemoryPlan nag = plan_of(kernels::training_arrays(kernels::UpdateKind::kNag, false), 100);
  CHECK(nag.gradients == stored);
  CHECK(nag.states == stored);
  const MemoryPlan adam = plan_of(kernels::training_arrays(kernels::UpdateKind::kAdam, true), 100);
  CHECK(adam.states == 2 * stored);
  CHECK(adam.averages == stored);
}

TEST_CASE("plan_memory: activations, softmax and the evaluation beside them", "[train]") {
  const MemoryPlan plan = plan_of(testing::kTrainingArrays, 10 * eval::kWindow + 1);
  const double rows = kSequences * (kTime + 3);
  // Per layer at least x, its dropped form, h and sigma.
  CHECK(plan.activations > 4 * rows * 128 * 4 * 4);
  // The exponentials of all words for each row but the context before the first.
  CHECK(plan.softmax >= 4 * kSequences * kTime * kWords);
  CHECK(plan.softmax <= 4.4 * rows * kWords);
  const ModelBench bench(medium(), kWords);
  const auto window = [&](Index time) {
    return bench.model.state(1, time, false)->activation_bytes();
  };
  CHECK(plan.evaluation == window(eval::kWindow) + window(1));
  CHECK(plan_of(testing::kTrainingArrays, 2 * eval::kWindow).evaluation == window(eval::kWindow));
  // A short text needs less than the buffer in which the largest tensor is saved.
  CHECK(plan_of(testing::kTrainingArrays, 10).evaluation == 4.0 * kWords * 128);
  CHECK(plan.total() == plan.values + plan.gradients + plan.states + plan.activations +
                            plan.softmax + plan.evaluation + plan.rest);
  CHECK(plan.rest > 1e6);
}

TEST_CASE("plan_memory: what a precision takes for itself, and the f32 at its end", "[train]") {
  const auto sets = kernels::supported_instruction_sets();
  if (sets.front() == kernels::InstructionSet::kReference) return;
  const auto plan = [&](kernels::Precision precision, Index time = kTime) {
    ThreadPool pool(1);
    const auto backend = kernels::make_backend(pool, sets.front(), precision);
    model::GatedConvLm model(medium(), kWords, *backend, testing::kTrainingArrays);
    model.initialise(1);
    const auto state = model.state(kSequences, time, true);
    const auto batch = token_batch(kSequences, time, kWords, 1);
    const auto now = [&] {
      return backend->working_memory(model.parameters().weights(), state->map()).now;
    };
    model.forward(batch.inputs, batch.targets, *state);
    const MemoryPlan before = plan_memory(model, *state, {.tokens = 100});
    CHECK(now() <= before.working);
    model.backward(batch.inputs, *state);
    CHECK(now() == Approx(before.working).epsilon(0.1));  // a step has taken it
    return before;
  };
  const MemoryPlan f32 = plan(kernels::Precision::kF32);
  const MemoryPlan bf16 = plan(kernels::Precision::kBf16);
  const MemoryPlan three = plan(kernels::Precision::kBf16x3);
  CHECK(f32.working == 0);
  // Two copies of the products' weights in two bytes, and operands.
  const double products = 4.0 * 4 * (4 * 128 * 256);
  CHECK(bf16.working > products);
  CHECK(three.working == Approx(2 * bf16.working).epsilon(0.01));
  CHECK(bf16.values == f32.values);
  // The network of the last evaluation, when the batch is gone.
  const double beside = plan(kernels::Precision::kF32, 4).evaluation;
  const MemoryPlan small = plan(kernels::Precision::kBf16, 4);
  CHECK(small.evaluation > beside);
  CHECK(small.evaluation > small.values - small.activations - small.softmax);
  CHECK(small.evaluation < small.values + beside);
  CHECK(bf16.total() == bf16.values + bf16.gradients + bf16.states + bf16.activations +
                            bf16.softmax + bf16.working + bf16.evaluation + bf16.rest);
}

TEST_CASE("plan_memory: the copies that weight drop keeps, where products are of floats",
          "[train]") {
  const auto working = [](double rate, kernels::Precision precision) {
    const auto set = kernels::supported_instruction_sets().front();
    ThreadPool pool(1);
    const auto backend = kernels::make_backend(pool, set, precision);
    model::ModelConfig config = medium();
    config.dropout.weight = rate;
    const model::GatedConvLm model(config, kWords, *backend, testing::kTrainingArrays);
    return plan_memory(model, *model.state(kSequences, kTime, true), {.tokens = 100}).working;
  };
  using kernels::Precision;
  const double products = 4.0 * 4 * (4 * 128 * 256);
  CHECK(working(0.3, Precision::kF32) == working(0, Precision::kF32) + products);
  if (kernels::supported_instruction_sets().front() == kernels::InstructionSet::kReference) return;
  CHECK(working(0.3, Precision::kBf16) == working(0, Precision::kBf16));
}

TEST_CASE("plan_memory: lines share a window, long ones are streams beside it", "[train]") {
  const auto bytes = [](text::Mode mode, std::uint64_t longest) {
    constexpr std::uint64_t kTokens = 5 * eval::kWindow;
    return plan_of(testing::kTrainingArrays,
                   {.mode = mode, .tokens = kTokens, .longest_line = longest})
        .evaluation;
  };
  const double window = bytes(text::Mode::kStream, 1);
  CHECK(bytes(text::Mode::kStream, 3 * eval::kWindow) == window);
  CHECK(bytes(text::Mode::kLines, 10) == window);
  CHECK(bytes(text::Mode::kLines, eval::kWindow) == window);
  CHECK(bytes(text::Mode::kLines, 3 * eval::kWindow) == 2 * window);
}

TEST_CASE("steps_left: the first of the limits, less what is done", "[train]") {
  TrainConfig config;
  TrainState state;
  CHECK(std::isinf(steps_left(config, state, 0, 8)));
  config.max_steps = 100;
  CHECK(steps_left(config, state, 0, 8) == 100);
  config.max_epochs = 2;
  CHECK(steps_left(config, state, 401, 8) == 51);  // the last step may begin just before the end
  CHECK(steps_left(config, state, 4000, 8) == 100);
  state.step = 30;
  state.samples = 240;
  CHECK(steps_left(config, state, 401, 8) == 21);
  CHECK(steps_left(config, state, 4000, 8) == 70);
  state.step = 101;
  CHECK(steps_left(config, state, 4000, 8) == 0);
}

TEST_CASE("seconds_of: three passes for a micro-batch, one validation more than intervals",
          "[train]") {
  TrainConfig config;
  config.accumulate_steps = 2;
  config.eval_every = 50;
  CHECK(seconds_of(config, 100, 0.5, 10) == 100 * 3 * 0.5 * 2 + (2 + 1) * 0.5 * 10);
}

TEST_CASE("plan_length: as many steps as the time that is left lets through", "[train]") {
  TrainConfig config;
  config.max_steps = 100;
  config.eval_every = 50;
  TrainState state;
  state.step = 40;
  const LengthPlan steps = plan_length(config, state, 0, 8, 0.5, 10);
  CHECK(steps.steps == 60);
  CHECK(steps.seconds == seconds_of(config, 60, 0.5, 10));
  CHECK_FALSE(steps.bounded_by_time);
  config.max_time = Seconds{1000};
  CHECK(plan_length(config, state, 0, 8, 0.5, 10).steps == 60);
  state.elapsed_seconds = 950;
  const LengthPlan time = plan_length(config, state, 0, 8, 0.5, 10);
  CHECK(time.bounded_by_time);
  CHECK(time.seconds == 50);
  CHECK(time.steps == std::floor(50 / seconds_of(config, 100, 0.5, 10) * 100));
  config.max_steps.reset();
  CHECK(plan_length(config, state, 0, 8, 0.5, 10).seconds == 50);
  state.elapsed_seconds = 2000;
  CHECK(plan_length(config, state, 0, 8, 0.5, 10).seconds == 0);
}

TEST_CASE("plan_disk: checkpoints with all but the gradients, one of them too many, and a model",
          "[train]") {
  const ModelBench bench(medium(), kWords, 1,
                         kernels::training_arrays(kernels::UpdateKind::kAdam, true));
  const double one = 4.0 * static_cast<double>(bench.model.parameters().elements());
  ModelInfo info;
  info.tokenizer.assign(100, 'x');
  info.permutation.resize(25);
  const DiskPlan plan = plan_disk(bench.model.parameters(), info, 1000, 2);
  CHECK(plan.model == one + 200);
  CHECK(plan.checkpoint == 4 * one + 200 + 1000);  // values, two states, averages; context
  CHECK(plan.most == 3 * plan.checkpoint + plan.model);
}

}  // namespace
}  // namespace sluice::train
