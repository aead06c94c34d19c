#include "sluice/eval/dynamic_evaluator.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/model/stream.h"
#include "tests/support/error_check.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::eval {
namespace {

const kernels::ArraySet kSgdArrays = kernels::training_arrays(kernels::UpdateKind::kSgd, false);

// A model, and a stream of tokens that it is to score.
struct Fixture {
  explicit Fixture(kernels::Backend* other = nullptr) {
    run.prepare();
    model::ModelConfig config = testing::full_config();
    config.dropout = testing::all_dropout(0.5);  // of which an evaluation knows nothing
    trained =
        std::make_unique<model::GatedConvLm>(config, kVocabulary, other ? *other : *run.backend,
                                             kernels::ArraySet{kernels::Array::kValue});
    trained->initialise(3);
    testing::stir_parameters(trained->parameters(), 2);
    const testing::TokenBatch text = testing::token_batch(1, 230, 4, 5);
    targets = text.targets;  // four words of thirteen
    inputs = {0};
    inputs.insert(inputs.end(), targets.begin(), targets.end() - 1);
  }
  std::unique_ptr<model::GatedConvLm> copy() const {
    auto same = std::make_unique<model::GatedConvLm>(trained->config(), kVocabulary,
                                                     trained->backend(), kSgdArrays);
    for (nn::Parameter& parameter : same->parameters().parameters()) {
      const std::vector<Real> values =
          testing::read_parameter(trained->parameters(), parameter.name, kernels::Array::kValue);
      same->parameters().write(parameter, kernels::Array::kValue, values);
    }
    same->parameters().refresh();
    return same;
  }
  // Nats of each token; its tokens come in pieces of so many.
  std::vector<double> nats(const DynamicSettings& settings, std::size_t piece = 230) {
    std::vector<double> found;
    network = copy();
    DynamicEvaluator evaluator(
        *network, *trained, run.pool, settings, [&](const ScoredWindow& window) {
          CHECK(window.hidden.map().tokens() == static_cast<Index>(window.nats.size()));
          found.insert(found.end(), window.nats.begin(), window.nats.end());
        });
    const auto unused = trained->state(1, 1, false);
    const std::vector<bool> oov(targets.size());
    for (std::size_t at = 0; at < targets.size(); at += piece) {
      const std::size_t count = std::min(piece, targets.size() - at);
      evaluator.add({.inputs = std::span(inputs).subspan(at, count),
                     .targets = std::span(targets).subspan(at, count),
                     .oov = oov.begin() + static_cast<std::ptrdiff_t>(at),
                     .nats = {},
                     .hidden = unused->hidden()});
    }
    evaluator.finish();
    Totals plain;
    plain.counts.lines = 7;
    const Totals totals = evaluator.result(plain);
    CHECK(totals.counts.lines == 7);
    CHECK(totals.nats == Approx(sum(found)).epsilon(1e-12));
    return found;
  }
  std::vector<double> plain() const {
    std::vector<double> found(targets.size());
    model::Stream(*trained).score(inputs, targets, found);
    return found;
  }
  static double sum(const std::vector<double>& values) {
    double total = 0;
    for (const double value : values) total += value;
    return total;
  }

  static constexpr Index kVocabulary = 13;
  testing::TinyRun run;
  std::unique_ptr<model::GatedConvLm> trained, network;
  std::vector<int> inputs, targets;
};

TEST_CASE("DynamicEvaluator: without a step it is a plain stream", "[eval]") {
  Fixture it;
  const std::vector<double> plain = it.plain();
  for (const Index segment : {1, 2, 3, 16, 64, 500}) {
    const std::vector<double> found = it.nats({.lr = 0, .decay = 0, .segment = segment});
    REQUIRE(found.size() == plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
      CHECK(found[i] == Approx(plain[i]).epsilon(1e-5));
    }
  }
}

TEST_CASE("DynamicEvaluator: learns a text unlike the model's, and leaves the model alone",
          "[eval]") {
  Fixture it;
  const std::vector<double> plain = it.plain();
  CHECK(Fixture::sum(it.nats({.lr = 0.3, .decay = 0, .segment = 8})) < 0.8 * Fixture::sum(plain));
  CHECK(it.plain() == plain);
}

TEST_CASE("DynamicEvaluator: how tokens arrive makes no difference", "[eval]") {
  Fixture it;
  const DynamicSettings settings = {.lr = 0.2, .decay = 0.1, .segment = 24};
  const std::vector<double> whole = it.nats(settings);
  for (const std::size_t piece : {1u, 24u, 101u}) CHECK(it.nats(settings, piece) == whole);
}

TEST_CASE("DynamicEvaluator: no later token changes a score", "[eval]") {
  Fixture it;
  const DynamicSettings settings = {.lr = 0.2, .decay = 0.01, .segment = 32};
  const std::vector<double> before = it.nats(settings);
  for (const std::size_t changed : {10u, 64u, 95u, 200u}) {
    Fixture other;
    other.targets[changed] = 9;
    if (changed + 1 < other.inputs.size()) other.inputs[changed + 1] = 9;
    const std::vector<double> after = other.nats(settings);
    for (std::size_t i = 0; i < changed; ++i) CHECK(after[i] == before[i]);
    CHECK(after.back() != before.back());
  }
}

TEST_CASE("DynamicEvaluator: each segment takes one step of sgd, then goes back by its share",
          "[eval]") {
  Fixture it;
  // Two segments, the second without a step: the weights are those after the first.
  it.inputs.resize(30);
  it.targets.resize(30);
  const std::vector<Real> start =
      testing::read_all(it.trained->parameters(), kernels::Array::kValue);
  it.nats({.lr = 0.5, .decay = 0, .segment = 20}, 30);
  const std::vector<Real> stepped =
      testing::read_all(it.network->parameters(), kernels::Array::kValue);
  it.nats({.lr = 0.5, .decay = 0.25, .segment = 20}, 30);
  const std::vector<Real> back =
      testing::read_all(it.network->parameters(), kernels::Array::kValue);
  // By hand: the mean gradient of the first segment.
  const auto network = it.copy();
  const auto state = network->state(1, 20, true);
  network->forward(std::span(it.inputs).first(20), std::span(it.targets).first(20), *state);
  network->backward(std::span(it.inputs).first(20), *state);
  const std::vector<Real> gradient =
      testing::read_all(network->parameters(), kernels::Array::kGradient);
  double moved = 0;
  for (std::size_t i = 0; i < start.size(); ++i) {
    const double expected =
        static_cast<double>(start[i]) - 0.5 / 20 * static_cast<double>(gradient[i]);
    CHECK(static_cast<double>(stepped[i]) == Approx(expected).margin(1e-5));
    CHECK(static_cast<double>(back[i]) ==
          Approx(expected + 0.25 * (static_cast<double>(start[i]) - expected)).margin(1e-5));
    moved += std::abs(expected - static_cast<double>(start[i]));
  }
  CHECK(moved > 1);
}

TEST_CASE("DynamicEvaluator: every backend steps on the context that a stream has", "[eval]") {
  ThreadPool pool(1);
  const auto reference = kernels::make_reference_backend(pool);
  Fixture a, b(reference.get());
  const DynamicSettings settings = {.lr = 0.2, .decay = 0.02, .segment = 12};
  const std::vector<double> found = a.nats(settings), expected = b.nats(settings);
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i] == Approx(expected[i]).epsilon(1e-3));
  }
}

TEST_CASE("DynamicEvaluator: steps that are too large are an error", "[eval]") {
  Fixture it;
  testing::check_error(ExitCode::kDiverged, {"dynamic evaluation", "lr 1e+30", "smaller"},
                       [&] { it.nats({.lr = 1e30, .decay = 0, .segment = 16}); });
}

}  // namespace
}  // namespace sluice::eval
