#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "sluice/nn/adaptive_softmax.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/gradient_check.h"
#include "tests/support/tiny_model.h"

namespace sluice::nn {
namespace {

using kernels::Array;
using kernels::Form;

// A softmax on [B, T] rows, with an embedding to tie to and the gradient of what it read.
struct Subject {
  Subject(const std::string& name, const SoftmaxShape& shape, Index sequences, Index time,
          bool tied = false)
      : backend(testing::make_backend(name, pool)),
        embedding(tied
                      ? std::make_unique<Table>(
                            ParameterScope(store, "embedding"),
                            kernels::TableShape{.rows = shape.words, .width = shape.width}, nullptr)
                      : nullptr),
        softmax(ParameterScope(store), shape, embedding.get()),
        workspace(*backend, {.sequences = sequences, .time = time, .context = 2}, true),
        dx(backend->activations(workspace.map(), shape.width, Form::kProduct)) {
    store.allocate({Array::kValue, Array::kGradient});
    if (embedding != nullptr) embedding->initialise(7, 1);
    softmax.initialise(8, 0);
    softmax.wire(workspace, in, cache, 0);
    in.dz = dx.get();
  }
  double forward(std::span<const int> targets) {
    nats.resize(targets.size());
    softmax.forward(in, targets, nats, cache);
    return std::accumulate(nats.begin(), nats.end(), 0.0);
  }
  std::vector<Real> backward() {
    softmax.backward(in, cache);
    std::vector<Real> gradient(
        static_cast<std::size_t>(workspace.map().tokens() * softmax.shape().width));
    backend->store(*dx, gradient);
    return gradient;
  }
  void read(std::span<const Real> x) { backend->load(*in.dropped, x); }

  ThreadPool pool{1};
  std::unique_ptr<kernels::Backend> backend;
  ParameterStore store{*backend};
  std::unique_ptr<Table> embedding;
  AdaptiveSoftmax softmax;
  Workspace workspace;
  std::unique_ptr<kernels::Activations> dx;
  kernels::Junction in;
  AdaptiveSoftmax::Cache cache;
  std::vector<double> nats;
};

std::vector<Real> times(std::vector<Real> values, double factor) {
  for (Real& value : values) value *= static_cast<Real>(factor);
  return values;
}

}  // namespace

TEST_CASE("AdaptiveSoftmax: log-probabilities, loss and gradients equal PyTorch's", "[nn]") {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  // headonly: no target is in a tail.
  const std::string which = GENERATE("nobias.", "headonly.");
  INFO(name << ", " << which);
  constexpr double kTolerance = 1e-9;
  const testing::Golden golden("adaptive_softmax");
  const std::vector<int> targets = golden.values<int>(which + "target");
  const auto rows = static_cast<Index>(targets.size());
  Subject s(name, {.width = 16, .words = 60, .cutoffs = {10, 30}, .tail_div = 4}, 2, rows / 2);
  REQUIRE(golden.names(which + "value.").size() == s.store.parameters().size());
  for (Parameter& parameter : s.store.parameters()) {
    REQUIRE(golden.shape(which + "value." + parameter.name) == parameter.shape);
    s.store.write(parameter, Array::kValue, golden.values(which + "value." + parameter.name));
  }
  s.store.refresh();
  s.read(golden.values(which + "x"));

  CHECK(s.forward(targets) / static_cast<double>(rows) ==
        Approx(golden.scalar(which + "loss_mean")).epsilon(1e-12));
  const std::vector<double> expected = golden.values<double>(which + "target_logprob");
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(-s.nats[i] == Approx(expected[i]).epsilon(1e-12));
  }
  CHECK(testing::relative_difference(times(s.backward(), 1 / static_cast<double>(rows)),
                                     golden.values(which + "dx")) <= kTolerance);
  for (const Parameter& parameter : s.store.parameters()) {
    INFO(parameter.name);
    const auto gradient = testing::read_parameter(s.store, parameter.name, Array::kGradient);
    CHECK(testing::relative_difference(times(gradient, 1 / static_cast<double>(rows)),
                                       golden.values(which + "gradient." + parameter.name)) <=
          kTolerance);
  }
  std::vector<Index> tokens(static_cast<std::size_t>(rows));
  std::iota(tokens.begin(), tokens.end(), 0);
  std::vector<Real> log_p(tokens.size() * 60);
  s.softmax.log_probabilities(s.in, tokens, log_p, s.cache);
  CHECK(testing::relative_difference(log_p, golden.values(which + "logprob")) <= kTolerance);
}

TEST_CASE("AdaptiveSoftmax: gradients agree with differences, tied or not", "[nn]") {
  struct Case {
    std::string name;
    SoftmaxShape shape;
    bool tied = false;
  };
  const Case c = GENERATE(
      Case{"two tails", {.width = 9, .words = 23, .cutoffs = {4, 9}, .tail_div = 2}},
      Case{"one word in the head and in a tail",
           {.width = 5, .words = 7, .cutoffs = {1, 2, 6}, .tail_div = 1}},
      Case{"tied, two tails", {.width = 6, .words = 23, .cutoffs = {5, 11}, .tail_div = 1}, true},
      Case{"whole with a bias", {.width = 6, .words = 13, .bias = true}},
      Case{"whole and weight-normed", {.width = 6, .words = 13, .bias = true, .weight_norm = true}},
      Case{"whole and tied", {.width = 6, .words = 13}, true});
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  Subject s(name, c.shape, 2, 6, c.tied);
  testing::stir_parameters(s.store, 2);
  const std::vector<Real> x =
      testing::normal_values(static_cast<std::size_t>(12 * c.shape.width), 3, 1);
  s.read(x);
  const std::vector<int> targets = testing::token_batch(2, 6, c.shape.words, 5, 5).targets;
  const auto loss = [&] { return s.forward(targets); };
  // Two batches: what a first one wrote is added to.
  loss();
  s.backward();
  loss();
  const std::vector<Real> dx = s.backward();
  testing::GradientMismatch worst = testing::check_parameters(s.store, [&] { return 2 * loss(); });
  worst.merge(testing::check_array(
      "x", x, dx, [&](std::span<const Real> changed) { s.read(changed); }, loss));
  INFO(name << ", " << c.name << ", " << worst.where << ": " << worst.analytic << " against "
            << worst.numeric);
  CHECK(worst.largest > 0.01);
  CHECK(worst.error <= 1e-6);
}

TEST_CASE("AdaptiveSoftmax: probabilities of all words sum to 1 and agree with the loss", "[nn]") {
  const bool tied = GENERATE(false, true);
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  const SoftmaxShape shape = {
      .width = 8, .words = 50, .cutoffs = {7, 8, 30}, .tail_div = tied ? 1 : 2};
  Subject s(name, shape, 2, 5, tied);
  s.read(testing::normal_values(80, 4, 2));
  const std::vector<Index> tokens = {1, 4, 9};
  std::vector<Real> log_p(3 * 50);
  s.softmax.log_probabilities(s.in, tokens, log_p, s.cache);
  for (std::size_t row = 0; row < 3; ++row) {
    double sum = 0;
    for (std::size_t word = 0; word < 50; ++word) {
      const double value = static_cast<double>(log_p[row * 50 + word]);
      sum += std::exp(value);
      std::vector<int> targets(10, -1);
      targets[static_cast<std::size_t>(tokens[row])] = static_cast<int>(word);
      CHECK(s.forward(targets) == Approx(-value).epsilon(1e-12));
    }
    CHECK(sum == Approx(1).epsilon(1e-12));
  }
}

// Only the rows of tokens whose target is in it may cost anything: that is the point of a tail.
TEST_CASE("AdaptiveSoftmax: a tail sees only the tokens whose target it holds", "[nn]") {
  Subject s(testing::kReference, {.width = 8, .words = 50, .cutoffs = {10, 30}, .tail_div = 2}, 2,
            4);
  s.read(testing::normal_values(64, 4, 1));
  const std::vector<int> targets = {3, 12, 40, -1, 9, 29, 10, 49};
  s.forward(targets);
  CHECK(s.cache.targets == std::vector<int>{3, 10, 11, -1, 9, 10, 10, 11});
  CHECK(s.cache.tails[0].tokens == std::vector<Index>{1, 5, 6});
  CHECK(s.cache.tails[0].targets == std::vector<int>{2, 19, 0});
  CHECK(s.cache.tails[1].tokens == std::vector<Index>{2, 7});
  CHECK(s.cache.tails[1].targets == std::vector<int>{10, 19});
  s.backward();
  for (const auto& weights : s.store.weights()) CHECK(weights->has_gradient);
  s.store.discard_gradient();
  const std::vector<int> frequent(8, 2);
  s.forward(frequent);
  s.backward();
  for (const Parameter& parameter : s.store.parameters()) {
    INFO(parameter.name);
    CHECK(parameter.laid_out_by->has_gradient == (parameter.name == "head.weight"));
  }
}

TEST_CASE("AdaptiveSoftmax: starts Xavier-uniform in all its matrices", "[nn]") {
  Subject s(testing::kReference, {.width = 32, .words = 3000, .cutoffs = {900}, .tail_div = 4}, 1,
            1);
  const auto bound_of = [&](const char* name) {
    const auto values = testing::read_parameter(s.store, name, Array::kValue);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    CHECK(*low == Approx(-*high).epsilon(0.05));
    return *high;
  };
  CHECK(bound_of("head.weight") == Approx(std::sqrt(6.0 / (32 + 901))).epsilon(0.01));
  CHECK(bound_of("tails.0.projection.weight") == Approx(std::sqrt(6.0 / (32 + 8))).epsilon(0.02));
  CHECK(bound_of("tails.0.weight") == Approx(std::sqrt(6.0 / (8 + 2100))).epsilon(0.01));
}

}  // namespace sluice::nn
