#include <catch2/catch.hpp>

#include "sluice/model/gated_conv_lm.h"
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
};

// A model ready for a check: gains and biases off their initial values.
struct Subject {
  explicit Subject(const ModelConfig& config)
      : backend(kernels::make_reference_backend(pool)), model(config, kVocabulary, *backend, 2) {
    model.initialise(3);
    testing::stir_parameters(model.parameters(), 4);
  }
  ThreadPool pool{1};
  std::unique_ptr<kernels::Backend> backend;
  GatedConvLm model;
};

testing::GradientMismatch check(Subject& subject, const Run& run) {
  GatedConvLm& model = subject.model;
  const testing::TokenBatch batch =
      testing::token_batch(run.sequences, run.time, kVocabulary, 5, run.masked);
  const auto state = model.state(run.sequences, run.time, true);
  if (run.dropout) state->set_dropout(8, 2, 3);
  const auto loss = [&] { return model.forward(batch.inputs, batch.targets, *state).nats; };
  loss();
  model.backward(batch.inputs, batch.targets, *state);
  return testing::check_parameters(model.parameters(), loss);
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
  SECTION("masked targets") { require_gradients(config, {.masked = 3}); }
  SECTION("no weight norm") {
    config.norm = Norm::kNone;
    require_gradients(config, {});
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

}  // namespace sluice::model
