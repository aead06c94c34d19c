#include "sluice/nn/product.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/kernels/instruction_set.h"
#include "tests/support/tiny_model.h"

namespace sluice::nn {
namespace {

using kernels::Array;
using testing::block;

struct Subject {
  explicit Subject(const model::ModelConfig& config, std::uint64_t seed = 1)
      : model(config, 500, *backend, {kernels::Array::kValue}) {
    model.initialise(seed);
  }
  std::vector<Real> values(const std::string& name) const {
    return testing::read_parameter(model.parameters(), name, Array::kValue);
  }
  ThreadPool pool{1};
  std::unique_ptr<kernels::Backend> backend = kernels::make_backend(pool);
  model::GatedConvLm model;
};

// Normal with mean 0 and this deviation: first, second and fourth moment within 5 deviations.
void require_normal(const std::string& name, const std::vector<Real>& values, double deviation) {
  const double n = static_cast<double>(values.size());
  double sum = 0, squares = 0, fourth = 0;
  for (const Real value : values) {
    const double x = static_cast<double>(value) / deviation;
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  INFO(name);
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2 / n));
  CHECK(std::abs(fourth / n - 3) < 5 * std::sqrt(96 / n));
}

model::ModelConfig wide_config(Index blocks) {
  model::ModelConfig config = testing::tiny_config(
      30, {block({{.kernel = 3, .channels = 48}}), block({{.kernel = 4, .channels = 40}}, blocks)});
  config.dropout = {.embedding = 0.2, .layer = 0.3, .output = 0.4};
  return config;
}

}  // namespace

TEST_CASE("Init: every matrix is normal with its documented deviation", "[nn]") {
  const Subject subject(wide_config(2));
  const auto check = [&](const std::string& name, double deviation) {
    require_normal(name, subject.values(name), deviation);
  };
  check("embedding.weight", 0.1);
  check("input_projection.weight_v", std::sqrt(0.8 / 30));
  check("blocks.0.layers.0.conv.weight_v", std::sqrt(4 * 0.7 / (3 * 48)));
  check("blocks.1.layers.0.conv.weight_v", std::sqrt(4 * 0.7 / (4 * 48)));
  check("blocks.1.projection.weight_v", std::sqrt(1.0 / 48));
  check("blocks.2.layers.0.conv.weight_v", std::sqrt(4 * 0.7 / (4 * 40)));
  check("output.weight", std::sqrt(0.6 / 40));
}

TEST_CASE("Init: gains are the norms of their columns, biases 0", "[nn]") {
  const Subject subject(wide_config(1));
  for (const Parameter& parameter : subject.model.parameters().parameters()) {
    INFO(parameter.name);
    if (parameter.name.ends_with(".bias")) {
      const std::vector<Real> bias = subject.values(parameter.name);
      CHECK(std::all_of(bias.begin(), bias.end(), [](Real b) { return b == 0; }));
    }
    if (!parameter.name.ends_with(".weight_g")) continue;
    std::string v_name = parameter.name;
    v_name.back() = 'v';
    const std::vector<Real> g = subject.values(parameter.name), v = subject.values(v_name);
    std::vector<double> squares(g.size());
    for (std::size_t i = 0; i < v.size(); ++i) {
      squares[i % g.size()] += static_cast<double>(v[i]) * static_cast<double>(v[i]);
    }
    for (std::size_t i = 0; i < g.size(); ++i) {
      CHECK(g[i] == Approx(std::sqrt(squares[i])).epsilon(1e-6));
    }
  }
}

TEST_CASE("Init: another layer moves no other parameter's start", "[nn]") {
  const Subject small(wide_config(1)), large(wide_config(3));
  CHECK(large.model.parameters().parameters().size() >
        small.model.parameters().parameters().size());
  for (const Parameter& parameter : small.model.parameters().parameters()) {
    INFO(parameter.name);
    CHECK(small.values(parameter.name) == large.values(parameter.name));
  }
}

TEST_CASE("Init: parameters of one shape, and seeds, have values of their own", "[nn]") {
  const Subject one(wide_config(3)), other(wide_config(3), 2);
  const auto differing = [](const std::vector<Real>& a, const std::vector<Real>& b) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
    return static_cast<double>(count) / static_cast<double>(a.size());
  };
  const std::string second = "blocks.2.layers.0.conv.weight_v";
  const std::string third = "blocks.3.layers.0.conv.weight_v";
  CHECK(differing(one.values(second), one.values(third)) > 0.99);
  CHECK(differing(one.values(second), other.values(second)) > 0.99);
}

TEST_CASE("Init: weight norm does not change the function that training starts from", "[nn]") {
  model::ModelConfig config = wide_config(1);
  const Subject with(config);
  config.norm = model::Norm::kNone;
  const Subject without(config);
  // The names differ, so the values do: copy them over.
  nn::ParameterStore& store = const_cast<model::GatedConvLm&>(without.model).parameters();
  for (Parameter& parameter : store.parameters()) {
    const bool matrix = parameter.name.ends_with(".weight") &&
                        with.model.parameters().find(parameter.name) == nullptr;
    store.write(parameter, Array::kValue,
                with.values(matrix ? parameter.name + "_v" : parameter.name));
  }
  store.refresh();
  const testing::TokenBatch batch = testing::token_batch(2, 9, 500, 5);
  const auto a = with.model.state(2, 9, false), b = without.model.state(2, 9, false);
  const double nats = with.model.forward(batch.inputs, batch.targets, *a).nats;
  CHECK(nats == Approx(without.model.forward(batch.inputs, batch.targets, *b).nats).epsilon(1e-6));
  // Near the uniform distribution: a start that neither vanishes nor explodes.
  CHECK(nats / 18 == Approx(std::log(500)).margin(0.5));
}

}  // namespace sluice::nn
