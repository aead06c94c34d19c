#include "sluice/train/step.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "sluice/train/zipf.h"
#include "tests/support/compare.h"
#include "tests/support/model_bench.h"

namespace sluice::train {
namespace {

using testing::full_config;
using testing::ModelBench;

constexpr Index kWords = 11, kSequences = 3, kTime = 6;
constexpr std::uint64_t kSeed = 5, kStep = 2;

model::ModelConfig config_with_dropout() {
  model::ModelConfig config = full_config();
  config.dropout = testing::all_dropout(0.3);
  return config;
}

text::Batch batch(std::uint64_t number) {
  text::Batch batch;
  ZipfText(kWords, 1).fill(number, kSequences, kTime, batch);
  return batch;
}

// Of all parameters, one after the other.
std::vector<Real> gradient(const ModelBench& bench) {
  std::vector<Real> all;
  const nn::ParameterStore& store = bench.model.parameters();
  for (const nn::Parameter& parameter : store.parameters()) {
    std::vector<Real> one(static_cast<std::size_t>(parameter.elements()));
    store.read(parameter, kernels::Array::kGradient, one);
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

TEST_CASE("add_gradient: what forward and backward of the model give", "[train]") {
  ModelBench bench(config_with_dropout(), kWords), plain(config_with_dropout(), kWords);
  const auto memory = bench.model.state(kSequences, kTime, true);
  const auto plain_memory = plain.model.state(kSequences, kTime, true);
  GradientSum sum;
  double nats = 0;
  for (std::uint64_t micro = 0; micro < 2; ++micro) {
    const text::Batch words = batch(micro);
    add_gradient(bench.model, words, kSeed, kStep, *memory, sum);
    // Sequences of a step are numbered on: no two have the same dropout.
    plain_memory->reshape(kSequences, kTime);
    plain_memory->set_dropout(kSeed, kStep, micro * kSequences);
    nats += plain.model.forward(words.inputs, words.targets, *plain_memory).nats;
    plain.model.backward(words.inputs, *plain_memory);
  }
  CHECK(sum.nats == nats);
  CHECK(sum.targets == 2 * kSequences * kTime);
  CHECK(sum.sequences == 2 * kSequences);
  CHECK(gradient(bench) == gradient(plain));
}

TEST_CASE("add_gradient: tells of each phase once, and nothing changes by that", "[train]") {
  ModelBench bench(config_with_dropout(), kWords), watched(config_with_dropout(), kWords);
  const auto memory = bench.model.state(kSequences, kTime, true);
  const auto watched_memory = watched.model.state(kSequences, kTime, true);
  GradientSum sum, watched_sum;
  add_gradient(bench.model, batch(0), kSeed, kStep, *memory, sum);
  std::vector<Phase> phases;
  int layers = 0;
  add_gradient(
      watched.model, batch(0), kSeed, kStep, *watched_memory, watched_sum,
      [&](std::size_t, std::size_t, const kernels::Junction&) {
        CHECK(phases.back() == Phase::kSoftmaxBackward);
        ++layers;
      },
      [&](Phase phase) { phases.push_back(phase); });
  CHECK(phases == std::vector{Phase::kForward, Phase::kSoftmaxForward, Phase::kSoftmaxBackward,
                              Phase::kBackward});
  CHECK(layers == 7);
  CHECK(watched_sum.nats == sum.nats);
  CHECK(gradient(watched) == gradient(bench));
}

TEST_CASE("add_gradient: a batch that continues another reads what it left, others nothing",
          "[train]") {
  ModelBench bench(config_with_dropout(), kWords), plain(config_with_dropout(), kWords);
  const auto memory = bench.model.state(kSequences, kTime, true);
  const auto plain_memory = plain.model.state(kSequences, kTime, true);
  std::vector<double> with, alone;
  for (std::uint64_t number = 0; number < 4; ++number) {
    text::Batch words = batch(number);
    words.continues = number != 0 && number != 3;
    GradientSum sum;
    add_gradient(bench.model, words, kSeed, number, *memory, sum);
    if (words.continues) {
      plain_memory->carry_context(*plain_memory);
    } else {
      plain_memory->clear_context();
    }
    plain_memory->set_dropout(kSeed, number, 0);
    const double nats = plain.model.forward(words.inputs, words.targets, *plain_memory).nats;
    CHECK(sum.nats == nats);
    plain.model.backward(words.inputs, *plain_memory);
    CHECK(gradient(bench) == gradient(plain));
    plain_memory->clear_context();
    const bool differs =
        plain.model.forward(words.inputs, words.targets, *plain_memory).nats != nats;
    CHECK(differs == words.continues);
    // That pass is none of the stream's.
    plain_memory->load_context(memory->store_context());
  }
}

// The gradient of one step, in one batch or cut into three.
std::vector<Real> gradient_of(const model::ModelConfig& config, std::uint64_t step, bool cut,
                              int threads) {
  ModelBench bench(config, kWords, threads);
  const auto memory = bench.model.state(kSequences, kTime, true);
  GradientSum sum;
  text::Batch whole = batch(0);
  whole.targets[2] = -1;
  if (!cut) {
    add_gradient(bench.model, whole, kSeed, step, *memory, sum);
    return gradient(bench);
  }
  for (Index sequence = 0; sequence < kSequences; ++sequence) {
    const auto part = [&](const std::vector<int>& ids) {
      return std::vector<int>(ids.begin() + sequence * kTime, ids.begin() + (sequence + 1) * kTime);
    };
    text::Batch micro = whole;
    micro.sequences = 1;
    micro.inputs = part(whole.inputs);
    micro.targets = part(whole.targets);
    add_gradient(bench.model, micro, kSeed, step, *memory, sum);
  }
  return gradient(bench);
}

TEST_CASE("add_gradient: weight drop has one mask per step, however it is cut", "[train]") {
  model::ModelConfig config = full_config();
  config.dropout.weight = 0.4;
  const std::vector<Real> whole = gradient_of(config, kStep, false, 1),
                          parts = gradient_of(config, kStep, true, 1);
  CHECK(testing::relative_difference(parts, whole) <= 1e-5);
  CHECK(gradient_of(config, kStep, false, 3) == whole);
  CHECK(gradient_of(config, kStep, true, 3) == parts);
  CHECK(testing::relative_difference(gradient_of(config, kStep + 1, false, 1), whole) > 0.1);
  // A dropped weight has no gradient, whichever part of the step it came from; about 0.4 of them.
  config.norm = model::Norm::kNone;
  const std::vector<Real> plain = gradient_of(config, kStep, false, 1),
                          cut = gradient_of(config, kStep, true, 1);
  std::size_t zeros = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    CHECK((plain[i] == 0) == (cut[i] == 0));
    zeros += plain[i] == 0;
  }
  CHECK(static_cast<double>(zeros) > 0.25 * static_cast<double>(plain.size()));
}

TEST_CASE("add_gradient: penalties on activations are per target, and no part of the loss",
          "[train]") {
  model::ModelConfig config = config_with_dropout();
  const std::vector<Real> without = gradient_of(config, kStep, false, 1);
  config.activation_l2 = GENERATE(0.0, 2.0);
  config.activation_change_l2 = 1;
  const std::vector<Real> whole = gradient_of(config, kStep, false, 1);
  CHECK(testing::relative_difference(whole, without) > 0.01);
  CHECK(testing::relative_difference(gradient_of(config, kStep, true, 1), whole) <= 1e-5);
  CHECK(gradient_of(config, kStep, false, 3) == whole);
  ModelBench bench(config, kWords), plain(config_with_dropout(), kWords);
  const auto loss = [](ModelBench& of) {
    const auto memory = of.model.state(kSequences, kTime, true);
    GradientSum sum;
    add_gradient(of.model, batch(0), kSeed, kStep, *memory, sum);
    return sum.nats;
  };
  CHECK(loss(bench) == loss(plain));
}

TEST_CASE("add_gradient: behind a step, taken or discarded, weights are whole", "[train]") {
  model::ModelConfig config = full_config();
  config.dropout.weight = 0.4;
  ModelBench bench(config, kWords), plain(config, kWords);
  const auto memory = bench.model.state(kSequences, kTime, true);
  const auto loss = [](ModelBench& of) {
    const text::Batch words = batch(3);
    const auto state = of.model.state(kSequences, kTime, false);
    return of.model.forward(words.inputs, words.targets, *state).nats;
  };
  GradientSum sum;
  add_gradient(bench.model, batch(0), kSeed, kStep, *memory, sum);
  CHECK(loss(bench) != loss(plain));
  bench.model.parameters().discard_gradient();
  CHECK(loss(bench) == loss(plain));
  add_gradient(bench.model, batch(0), kSeed, kStep, *memory, sum);
  const kernels::UpdateRule rule = {.lr = 0.1, .scale = 0.01, .momentum = 0.9};
  bench.model.parameters().update(rule);
  testing::copy_values(bench.model.parameters(), plain.model.parameters());
  CHECK(loss(bench) == loss(plain));
}

TEST_CASE("gradient_norm: of all parameters, per target", "[train]") {
  ModelBench bench(config_with_dropout(), kWords);
  const auto memory = bench.model.state(kSequences, kTime, true);
  GradientSum sum;
  add_gradient(bench.model, batch(0), kSeed, kStep, *memory, sum);
  double squared = 0;
  for (const Real value : gradient(bench)) squared += static_cast<double>(value) * value;
  CHECK(gradient_norm(bench.model.parameters(), sum.targets) ==
        Approx(std::sqrt(squared) / (kSequences * kTime)).epsilon(1e-5));
}

}  // namespace
}  // namespace sluice::train
