// No layer, and nothing in the network, may know how a backend lays out memory: on a backend whose
// layouts have nothing in common with the reference's, everything comes out the same.
#include <catch2/catch.hpp>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

using kernels::Array;
using testing::relative_difference;

constexpr double kTolerance = 1e-9;

ModelConfig everything() {
  ModelConfig config = testing::full_config();
  config.dropout = {.embedding = 0.1, .layer = 0.3, .output = 0.2};
  return config;
}

struct Subject {
  Subject(const char* name, const ModelConfig& config, Index vocabulary = 13)
      : backend(testing::make_backend(name, pool)),
        model(config, vocabulary, *backend, testing::kTrainingArrays) {
    model.initialise(3);
    testing::stir_parameters(model.parameters(), 4);
  }
  // Two micro-batches of one step; returns their nats.
  double accumulate(GatedConvLm::State& state, std::uint64_t step) {
    const auto [sequences, time, context] = state.map();
    double nats = 0;
    for (const std::uint64_t part : {0, 1}) {
      const testing::TokenBatch batch =
          testing::token_batch(sequences, time, model.vocabulary(), 2 * step + part, 5);
      state.set_dropout(7, step, 2 * part);
      nats += model.forward(batch.inputs, batch.targets, state).nats;
      model.backward(batch.inputs, state);
    }
    return nats;
  }
  ThreadPool pool{1};
  std::unique_ptr<kernels::Backend> backend;
  GatedConvLm model;
};

}  // namespace

namespace {

// `steps` steps of two micro-batches on both backends: nats, every gradient, norm, and at the end
// values and states.
void require_equal_training(Subject& a, Subject& b, Index sequences, Index time, int steps,
                            kernels::UpdateKind kind) {
  const auto state_a = a.model.state(sequences, time, true);
  const auto state_b = b.model.state(sequences, time, true);
  kernels::UpdateRule rule = {.kind = kind,
                              .lr = 0.05,
                              .scale = 1.0 / static_cast<double>(2 * sequences * time),
                              .momentum = 0.9,
                              .beta2 = 0.99,
                              .eps = 1e-6,
                              .matrix_decay = 0.1,
                              .other_decay = 0.05};
  nn::ParameterStore &store_a = a.model.parameters(), &store_b = b.model.parameters();
  for (rule.step = 1; rule.step <= steps; ++rule.step) {
    INFO("step " << rule.step);
    const auto step = static_cast<std::uint64_t>(rule.step);
    CHECK(a.accumulate(*state_a, step) == Approx(b.accumulate(*state_b, step)).epsilon(kTolerance));
    for (const nn::Parameter& parameter : store_a.parameters()) {
      INFO(parameter.name);
      const auto expected = testing::read_parameter(store_a, parameter.name, Array::kGradient);
      const auto actual = testing::read_parameter(store_b, parameter.name, Array::kGradient);
      CHECK(relative_difference(actual, expected) <= kTolerance);
    }
    CHECK(store_a.squared_gradient_norm() ==
          Approx(store_b.squared_gradient_norm()).epsilon(kTolerance));
    store_a.update(rule);
    store_b.update(rule);
  }
  for (const Array array : {Array::kValue, Array::kState0, Array::kState1}) {
    CHECK(relative_difference(testing::read_all(store_b, array),
                              testing::read_all(store_a, array)) <= kTolerance);
  }
}

}  // namespace

TEST_CASE("GatedConvLm: losses, gradients and updates do not depend on the layout", "[model]") {
  const auto kind = GENERATE(kernels::UpdateKind::kSgd, kernels::UpdateKind::kNag,
                             kernels::UpdateKind::kAdam, kernels::UpdateKind::kAdamw);
  ModelConfig config = everything();
  SECTION("weight norm") {}
  SECTION("other gates and outputs") {
    config.gate = static_cast<kernels::Gate>(GENERATE(range(0, kernels::kGates)));
    config.dropout.tail = 0.3;
    config.output.type = OutputType::kAdaptive;
    config.output.cutoffs = {3, 5};
    config.output.tail_div = 2;
    if (config.gate == kernels::Gate::kGtu || config.gate == kernels::Gate::kTanh) {
      config.output.tied = true;
      config.output.tail_div = 1;
    }
    if (config.gate == kernels::Gate::kReglu) {
      config.output.type = OutputType::kSoftmax;
      config.output.projection = 6;
    }
  }
  SECTION("norms of channels") {
    config.norm = GENERATE(Norm::kRms, Norm::kLayer);
    config.input_projection = InputProjection::kAlways;
  }
  SECTION("no weight norm, no bias") {
    config.norm = Norm::kNone;
    config.output.bias = false;
  }
  INFO("update " << static_cast<int>(kind) << ", gate " << static_cast<int>(config.gate));
  Subject a(testing::kReference, config), b(testing::kBlocked, config);
  require_equal_training(a, b, 2, 6, 3, kind);
}

TEST_CASE("GatedConvLm: memory in another shape gives the bits of memory made for it", "[model]") {
  const char* backend = GENERATE(testing::kReference, testing::kBlocked);
  ModelConfig config = everything();
  SECTION("softmax") {}
  SECTION("adaptive") {
    config.dropout.tail = 0.3;
    config.output.type = OutputType::kAdaptive;
    config.output.cutoffs = {3, 5};
    config.output.tail_div = 2;
  }
  SECTION("layer norm") { config.norm = Norm::kLayer; }
  Subject a(backend, config), b(backend, config);
  const auto reused = b.model.state(3, 8, true);
  std::uint64_t step = 0;
  for (const auto& [sequences, time] : std::vector<std::pair<Index, Index>>{
           {3, 8}, {2, 6}, {6, 2}, {1, 20}, {3, 8}, {5, 3}, {1, 1}, {3, 7}}) {
    INFO(backend << ": " << sequences << " of " << time);
    const auto made = a.model.state(sequences, time, true);
    reused->reshape(sequences, time);
    ++step;
    CHECK(a.accumulate(*made, step) == b.accumulate(*reused, step));
    CHECK(testing::read_all(a.model.parameters(), Array::kGradient) ==
          testing::read_all(b.model.parameters(), Array::kGradient));
    a.model.parameters().discard_gradient();
    b.model.parameters().discard_gradient();
  }
  // More tokens, more rows.
  CHECK_THROWS_AS(reused->reshape(1, 25), Error);
  CHECK_THROWS_AS(reused->reshape(7, 2), Error);
}

TEST_CASE("GatedConvLm: another shape forgets the context", "[model]") {
  const char* backend = GENERATE(testing::kReference, testing::kBlocked);
  Subject subject(backend, testing::full_config());
  const auto state = subject.model.state(2, 6, false);
  const auto nats = [&](Index time) {
    state->reshape(2, time);
    const testing::TokenBatch batch = testing::token_batch(2, time, 13, 1);
    const double sum = subject.model.forward(batch.inputs, batch.targets, *state).nats;
    state->carry_context(*state);
    return sum;
  };
  const double six = nats(6), five = nats(5);
  CHECK(nats(5) == five);
  CHECK(nats(6) == six);
}

// Sizes at which the reference cuts everything into several chunks: rows, channels, words, and the
// runs of an update.
TEST_CASE("GatedConvLm: work in many chunks equals naive loops", "[model]") {
  ModelConfig config = testing::tiny_config(48, {testing::block({{.kernel = 3, .channels = 48}}),
                                                 testing::block({{.kernel = 3, .channels = 130}}),
                                                 testing::block({{.kernel = 2, .channels = 12}})});
  config.dropout = testing::all_dropout(0.1);
  Subject a(testing::kReference, config, 700), b(testing::kBlocked, config, 700);
  require_equal_training(a, b, 2, 50, 1, kernels::UpdateKind::kAdamw);
}

TEST_CASE("GatedConvLm: carried context and log-probabilities do not depend on the layout",
          "[model]") {
  ModelConfig config = testing::full_config();
  SECTION("softmax") {}
  SECTION("adaptive") {
    config.output.type = OutputType::kAdaptive;
    config.output.cutoffs = {3, 5};
    config.output.tail_div = 2;
  }
  SECTION("rms norm") { config.norm = Norm::kRms; }
  Subject a(testing::kReference, config), b(testing::kBlocked, config);
  const auto run = [&](Subject& s) {
    std::vector<Real> out;
    const auto window = s.model.state(2, 4, false), step = s.model.state(2, 1, false);
    const auto add = [&](GatedConvLm::State& state, std::uint64_t seed) {
      const Index time = state.map().time;
      const auto batch = testing::token_batch(2, time, s.model.vocabulary(), seed);
      s.model.forward(batch.inputs, batch.targets, state);
      for (const double nats : s.model.nats(state)) out.push_back(static_cast<Real>(nats));
      std::vector<Real> log_p(static_cast<std::size_t>(s.model.vocabulary()));
      s.model.log_probabilities(state, 2 * time - 1, log_p);
      out.insert(out.end(), log_p.begin(), log_p.end());
    };
    add(*window, 1);
    window->carry_context(*window);
    add(*window, 2);
    step->carry_context(*window);
    for (std::uint64_t i = 3; i < 12; ++i) {
      add(*step, i);
      step->carry_context(*step);
    }
    window->carry_context(*step);
    add(*window, 20);
    window->clear_context();
    add(*window, 21);
    return out;
  };
  CHECK(relative_difference(run(b), run(a)) <= kTolerance);
}

}  // namespace sluice::model
