#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/model/gated_conv_lm.h"
#include "tests/support/compare.h"
#include "tests/support/gradient_check.h"
#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

using testing::block;

constexpr double kTolerance = 1e-6;
constexpr Index kVocabulary = 11;

struct Run {
  Index sequences = 2, time = 7;
  Index masked = 0;
  bool dropout = false;
  bool carried = false;  // goes on from another window
};

// A model ready for a check: gains and biases off their initial values.
struct Subject {
  explicit Subject(const ModelConfig& config, kernels::ArraySet arrays = testing::kTrainingArrays)
      : backend(kernels::make_reference_backend(pool)),
        model(config, kVocabulary, *backend, arrays) {
    model.initialise(3);
    testing::stir_parameters(model.parameters(), 4);
  }
  ThreadPool pool{1};
  std::unique_ptr<kernels::Backend> backend;
  GatedConvLm model;
};

// What the config's penalty adds to the sum of nats; `y` before the last dropout, [B, T, C].
double penalty_of(const ModelConfig& config, const Run& run, const testing::TokenBatch& batch,
                  std::span<const Real> h, std::span<const Real> y) {
  const auto tokens = batch.targets.size(), channels = h.size() / tokens;
  double sum = 0;
  for (std::size_t token = 0; token < tokens; ++token) {
    if (batch.targets[token] < 0) continue;
    const bool last = static_cast<Index>(token + 1) % run.time == 0;
    for (std::size_t i = token * channels; i < (token + 1) * channels; ++i) {
      sum += config.activation_l2 * h[i] * h[i];
      if (last || batch.targets[token + 1] < 0) continue;
      sum += config.activation_change_l2 * (y[i + channels] - y[i]) * (y[i + channels] - y[i]);
    }
  }
  return sum / static_cast<double>(channels);
}

std::vector<Real> hidden_of(const GatedConvLm& model, const GatedConvLm::State& state) {
  std::vector<Real> values(
      static_cast<std::size_t>(state.map().tokens() * state.hidden().channels()));
  model.backend().store(state.hidden(), values);
  return values;
}

testing::GradientMismatch check(Subject& subject, const Run& run) {
  GatedConvLm& model = subject.model;
  const testing::TokenBatch batch =
      testing::token_batch(run.sequences, run.time, kVocabulary, 5, run.masked);
  const auto state = model.state(run.sequences, run.time, true);
  if (run.carried) {
    const auto before = testing::token_batch(run.sequences, run.time, kVocabulary, 6);
    state->set_dropout(8, 1, 3);
    model.forward_hidden(before.inputs, *state);
    state->carry_context(*state);
    state->set_dropout(0, 0, 0);
  }
  if (run.dropout) state->set_dropout(8, 2, 3);
  // The same network without the last dropout, for what a penalty sees before it.
  ModelConfig bare = model.config();
  bare.dropout.output = 0;
  const bool penalised = bare.activation_l2 > 0 || bare.activation_change_l2 > 0;
  Subject other(bare);
  const auto other_state = other.model.state(run.sequences, run.time, true);
  if (run.dropout) other_state->set_dropout(8, 2, 3);
  const auto penalty = [&] {
    testing::copy_values(model.parameters(), other.model.parameters());
    if (run.dropout) other.model.drop_weights(8, 2);
    other.model.forward(batch.inputs, batch.targets, *other_state);
    return penalty_of(model.config(), run, batch, hidden_of(model, *state),
                      hidden_of(other.model, *other_state));
  };
  const auto loss = [&] {
    if (run.dropout) model.drop_weights(8, 2);
    const double nats = model.forward(batch.inputs, batch.targets, *state).nats;
    return penalised ? nats + penalty() : nats;
  };
  loss();
  model.backward(batch.inputs, *state);
  using kernels::Gate;
  const Gate gate = model.config().gate;
  const bool kinked = gate == Gate::kRelu || gate == Gate::kReglu;
  // A norm of embeddings of size 0.1 is bent ten times as much.
  const double smooth = channel_norm(model.config()) ? 1e-4 : testing::kSmoothStep;
  return testing::check_parameters(model.parameters(), loss, kinked ? testing::kKinkStep : smooth);
}

void require_gradients(Subject& subject, const Run& run) {
  const testing::GradientMismatch worst = check(subject, run);
  INFO(worst.where << ": " << worst.analytic << " against " << worst.numeric << ", error "
                   << worst.error);
  CHECK(worst.largest > 0.01);
  CHECK(worst.error <= kTolerance);
}
void require_gradients(const ModelConfig& config, const Run& run) {
  Subject subject(config);
  require_gradients(subject, run);
}

}  // namespace

TEST_CASE("GatedConvLm: gradients of a model with everything agree with differences", "[model]") {
  ModelConfig config = testing::full_config();
  SECTION("plain") { require_gradients(config, {}); }
  SECTION("dropout at all three places") {
    config.dropout = {.embedding = 0.2, .layer = 0.3, .output = 0.4};
    require_gradients(config, {.dropout = true});
  }
  SECTION("dropout of the embedding behind an input projection") {
    config.input_projection = InputProjection::kAlways;
    config.dropout = {.embedding = 0.4, .layer = 0.2, .output = 0};
    require_gradients(config, {.dropout = true});
  }
  SECTION("locked dropout, and of words") {
    config.dropout = {.embedding = 0.2, .layer = 0.3, .output = 0.4, .word = 0.3};
    config.dropout.embedding_locked = config.dropout.layer_locked = config.dropout.output_locked =
        true;
    require_gradients(config, {.sequences = 3, .dropout = true});
  }
  SECTION("dropout of words behind an input projection") {
    config.input_projection = InputProjection::kAlways;
    config.dropout = {.embedding = 0.1, .layer = 0, .output = 0, .word = 0.3};
    require_gradients(config, {.sequences = 3, .dropout = true});
  }
  SECTION("weight drop, with dropout, with and without weight norm") {
    config.dropout = {.embedding = 0.1, .layer = 0.2, .output = 0.1, .weight = 0.3};
    config.norm = GENERATE(Norm::kWeight, Norm::kNone);
    require_gradients(config, {.dropout = true});
  }
  SECTION("penalties on activations") {
    config.activation_l2 = GENERATE(0.0, 5.0);
    config.activation_change_l2 = 3;
    config.dropout = testing::all_dropout(GENERATE(0.0, 0.3));
    require_gradients(config, {.masked = 4, .dropout = true});
  }
  SECTION("masked targets") { require_gradients(config, {.masked = 3}); }
  SECTION("context that another window left, constant") {
    config.dropout = {.embedding = 0.2, .layer = 0.3, .output = 0.4};
    require_gradients(config, {.dropout = true, .carried = true});
  }
  SECTION("no weight norm") {
    config.norm = Norm::kNone;
    require_gradients(config, {});
  }
  SECTION("rms or layer norm") {
    config.norm = GENERATE(Norm::kRms, Norm::kLayer);
    config.dropout = {.embedding = 0.2, .layer = 0.3, .output = 0.4};
    require_gradients(config, {.dropout = true});
  }
  SECTION("no output bias") {
    config.output.bias = false;
    require_gradients(config, {});
  }
  SECTION("another residual scale") {
    config.residual_scale = 1.3;
    require_gradients(config, {});
  }
}

// A small network of every kind: all gates, weight norm or none, and every form of the output.
TEST_CASE("GatedConvLm: gradients of every gate, norm and output agree with differences",
          "[model]") {
  const auto gate = static_cast<kernels::Gate>(GENERATE(range(0, kernels::kGates)));
  const Norm norm = GENERATE(Norm::kWeight, Norm::kNone);
  const std::string output = GENERATE(as<std::string>{}, "softmax", "adaptive", "tied softmax",
                                      "tied adaptive", "two-layer softmax", "projected adaptive");
  // Weight drop and penalties, whose gradients differ by the gate's halves and by the output.
  const bool regularised = GENERATE(false, true);
  if (regularised && gate != kernels::Gate::kGlu && gate != kernels::Gate::kTanh) return;
  ModelConfig config = testing::tiny_config(
      4, {block({{.kernel = 2, .channels = 4}}),
          block({{.kernel = 1, .channels = 3}, {.kernel = 2, .channels = 5, .dilation = 2}})});
  config.gate = gate;
  config.norm = norm;
  config.output.tied = output.starts_with("tied");
  if (output.ends_with("adaptive")) {
    config.output.type = OutputType::kAdaptive;
    config.output.cutoffs = {3, 7};
    config.output.tail_div = config.output.tied ? 1 : 2;
  }
  if (output == "two-layer softmax") config.output.projection = 3;
  if (output == "projected adaptive") config.output.projection = 6;
  config.dropout = {.embedding = 0.1, .layer = 0.2, .output = 0.2, .tail = 0.3};
  if (regularised) {
    config.dropout.weight = 0.3;
    config.activation_l2 = 5;
    config.activation_change_l2 = 3;
  }
  INFO("gate " << static_cast<int>(gate) << ", norm " << static_cast<int>(norm) << ", " << output
               << (regularised ? ", regularised" : ""));
  Subject subject(config);
  // Products of small numbers have gradients at the level of rounding: larger embeddings.
  nn::ParameterStore& store = subject.model.parameters();
  const auto embedding =
      testing::normal_values(static_cast<std::size_t>(kVocabulary * config.embedding_dim), 9, 1);
  store.write(store.parameters().front(), kernels::Array::kValue, embedding);
  store.refresh();
  require_gradients(subject, {.time = 5, .masked = 4, .dropout = true});
}

TEST_CASE("GatedConvLm: gradients behind norms of channels agree with differences", "[model]") {
  ModelConfig config = testing::tiny_config(
      5, {block({{.kernel = 2, .channels = 5}}),
          block({{.kernel = 1, .channels = 3}, {.kernel = 2, .channels = 5, .dilation = 2}})});
  config.gate = GENERATE(kernels::Gate::kGlu, kernels::Gate::kRelu);
  config.norm = GENERATE(Norm::kRms, Norm::kLayer);
  SECTION("softmax") {}
  SECTION("tied adaptive") {
    config.output.type = OutputType::kAdaptive;
    config.output.cutoffs = {3, 7};
    config.output.tied = true;
    config.output.tail_div = 1;
  }
  SECTION("projected") { config.output.projection = 3; }
  config.dropout = {.embedding = 0.1, .layer = 0.2, .output = 0.2, .tail = 0.3};
  require_gradients(config, {.time = 5, .masked = 4, .dropout = true});
}

TEST_CASE("GatedConvLm: gradients at odd sizes agree with differences", "[model]") {
  using testing::tiny_config;
  SECTION("one token") { require_gradients(testing::full_config(), {.sequences = 1, .time = 1}); }
  SECTION("sequences shorter than the kernels") {
    require_gradients(testing::full_config(), {.sequences = 3, .time = 2});
  }
  SECTION("kernels of one tap") {
    require_gradients(tiny_config(3, {block({{.kernel = 1, .channels = 4}}, 2)}), {});
  }
  SECTION("no input projection") {
    require_gradients(tiny_config(4, {block({{.kernel = 3, .channels = 4}}, 2)}), {});
  }
  SECTION("no input projection, dropout") {
    ModelConfig config = tiny_config(4, {block({{.kernel = 3, .channels = 4}}, 2)});
    config.dropout = testing::all_dropout(0.3);
    require_gradients(config, {.dropout = true});
  }
  SECTION("no input projection, the first block projects") {
    require_gradients(
        tiny_config(4, {block({{.kernel = 2, .channels = 4}, {.kernel = 2, .channels = 3}}),
                        block({{.kernel = 2, .channels = 6}})}),
        {.sequences = 1});
  }
  SECTION("more rows than one chunk has") {
    require_gradients(tiny_config(2, {block({{.kernel = 2, .channels = 2}}),
                                      block({{.kernel = 2, .channels = 3, .dilation = 2}})}),
                      {.sequences = 3, .time = 90, .masked = 5});
  }
}

TEST_CASE("GatedConvLm: gains of zero and below have right gradients and can move", "[model]") {
  Subject subject(testing::full_config());
  nn::ParameterStore& store = subject.model.parameters();
  testing::set_element(store, "blocks.0.layers.0.conv.weight_g", 2, 0);
  testing::set_element(store, "blocks.0.layers.0.conv.weight_g", 9, 0);
  testing::set_element(store, "blocks.1.layers.1.conv.weight_g", 1, Real(-0.7));
  testing::set_element(store, "blocks.2.projection.weight_g", 0, 0);
  testing::set_element(store, "blocks.2.projection.weight_g", 1, Real(-1.2));
  testing::set_element(store, "input_projection.weight_g", 3, Real(-0.4));
  require_gradients(subject, {});
  const auto gain =
      testing::read_parameter(store, "blocks.0.layers.0.conv.weight_g", kernels::Array::kGradient);
  CHECK(std::abs(gain[2]) > 1e-3);
  CHECK(std::abs(gain[9]) > 1e-3);
}

TEST_CASE("GatedConvLm: gradients of micro-batches add up to that of the sum", "[model]") {
  Subject subject(testing::full_config());
  GatedConvLm& model = subject.model;
  const testing::TokenBatch one = testing::token_batch(2, 5, kVocabulary, 6, 4);
  const testing::TokenBatch two = testing::token_batch(2, 5, kVocabulary, 7);
  const auto state = model.state(2, 5, true);
  const auto loss = [&] {
    return model.forward(one.inputs, one.targets, *state).nats +
           model.forward(two.inputs, two.targets, *state).nats;
  };
  // What an earlier step left must not count.
  model.forward(two.inputs, two.targets, *state);
  model.backward(two.inputs, *state);
  model.parameters().discard_gradient();
  for (const testing::TokenBatch& batch : {one, two}) {
    model.forward(batch.inputs, batch.targets, *state);
    model.backward(batch.inputs, *state);
  }
  const testing::GradientMismatch worst = testing::check_parameters(model.parameters(), loss);
  INFO(worst.where << ": " << worst.analytic << " against " << worst.numeric);
  CHECK(worst.error <= kTolerance);
}

TEST_CASE("GatedConvLm: squared norm is that of the gradients as they read", "[model]") {
  Subject subject(testing::full_config());
  const testing::TokenBatch batch = testing::token_batch(2, 7, kVocabulary, 6);
  const auto state = subject.model.state(2, 7, true);
  subject.model.forward(batch.inputs, batch.targets, *state);
  subject.model.backward(batch.inputs, *state);
  double sum = 0;
  for (const Real g : testing::read_all(subject.model.parameters(), kernels::Array::kGradient)) {
    sum += g * g;
  }
  CHECK(subject.model.parameters().squared_gradient_norm() == Approx(sum).epsilon(1e-12));
}

TEST_CASE("GatedConvLm: a step under weight norm moves v, g and b by their gradients", "[model]") {
  Subject subject(testing::full_config());
  GatedConvLm& model = subject.model;
  nn::ParameterStore& store = model.parameters();
  const testing::TokenBatch batch = testing::token_batch(2, 7, kVocabulary, 6);
  const auto state = model.state(2, 7, true);
  const double before = model.forward(batch.inputs, batch.targets, *state).nats;
  model.backward(batch.inputs, *state);
  std::vector<Real> expected = testing::read_all(store, kernels::Array::kValue);
  const std::vector<Real> gradient = testing::read_all(store, kernels::Array::kGradient);
  const double lr = 0.01, scale = 0.1;
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] -= lr * scale * gradient[i];
  store.update({.kind = kernels::UpdateKind::kNag, .lr = lr, .scale = scale});
  CHECK(testing::relative_difference(testing::read_all(store, kernels::Array::kValue), expected) <=
        1e-13);
  // The new values are in use at once.
  CHECK(model.forward(batch.inputs, batch.targets, *state).nats < before);
}

}  // namespace sluice::model
