#include "sluice/nn/parameter.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "sluice/kernels/instruction_set.h"
#include "tests/support/tiny_model.h"

namespace sluice::nn {
namespace {

using kernels::Array;

struct Subject {
  explicit Subject(kernels::ArraySet arrays) : model(testing::full_config(), 11, *backend, arrays) {
    model.initialise(1);
  }
  ParameterStore& store() { return model.parameters(); }
  ThreadPool pool{1};
  std::unique_ptr<kernels::Backend> backend = kernels::make_backend(pool);
  model::GatedConvLm model;
};

}  // namespace

TEST_CASE("ParameterStore: names and shapes, in order from input to output", "[nn]") {
  Subject subject({Array::kValue});
  using Shape = std::vector<Index>;
  std::vector<std::pair<std::string, Shape>> expected = {
      {"embedding.weight", {11, 5}},
      {"input_projection.weight_v", {1, 5, 7}},
      {"input_projection.weight_g", {7}},
      {"input_projection.bias", {7}},
  };
  const auto product = [&](const std::string& name, const Shape& shape) {
    expected.push_back({name + ".weight_v", shape});
    expected.push_back({name + ".weight_g", {shape[2]}});
    expected.push_back({name + ".bias", {shape[2]}});
  };
  product("blocks.0.layers.0.conv", {3, 7, 14});
  product("blocks.1.layers.0.conv", {1, 7, 8});
  product("blocks.1.layers.1.conv", {4, 4, 8});
  product("blocks.1.layers.2.conv", {1, 4, 14});
  product("blocks.2.layers.0.conv", {2, 7, 10});
  product("blocks.2.projection", {1, 7, 5});
  product("blocks.3.layers.0.conv", {3, 5, 10});
  product("blocks.4.layers.0.conv", {3, 5, 10});
  expected.push_back({"output.weight", {11, 5}});
  expected.push_back({"output.bias", {11}});
  std::vector<std::pair<std::string, Shape>> actual;
  Index elements = 0;
  for (const Parameter& parameter : subject.store().parameters()) {
    actual.emplace_back(parameter.name, parameter.shape);
    elements += std::accumulate(parameter.shape.begin(), parameter.shape.end(), Index{1},
                                std::multiplies<>());
  }
  CHECK(actual == expected);
  CHECK(subject.store().elements() == elements);
  CHECK(subject.store().find("blocks.2.projection.bias") != nullptr);
  CHECK(subject.store().find("blocks.2") == nullptr);
}

TEST_CASE("ParameterStore: arrays are as many as asked for, apart and aligned", "[nn]") {
  using Set = kernels::ArraySet;
  const Set arrays = GENERATE(Set{Array::kValue}, Set{Array::kValue, Array::kGradient},
                              kernels::training_arrays(kernels::UpdateKind::kSgd, false),
                              kernels::training_arrays(kernels::UpdateKind::kNag, true),
                              kernels::training_arrays(kernels::UpdateKind::kAdam, false),
                              kernels::training_arrays(kernels::UpdateKind::kAdamw, true));
  Subject subject(arrays);
  CHECK(subject.store().arrays() == arrays);
  // The gradient reads as the true one: not as written.
  const auto readable = [&](Array array) { return arrays.has(array) && array != Array::kGradient; };
  std::vector<std::vector<Real>> written;
  for (Parameter& parameter : subject.store().parameters()) {
    for (int i = 0; i < kernels::kArrays; ++i) {
      const auto array = static_cast<Array>(i);
      const Real* at = parameter.slices[array];
      CHECK((at != nullptr) == arrays.has(array));
      CHECK(reinterpret_cast<std::uintptr_t>(at) % 64 == 0);
      if (!readable(array)) continue;
      written.push_back(testing::normal_values(static_cast<std::size_t>(parameter.elements()),
                                               written.size(), 1));
      subject.store().write(parameter, array, written.back());
    }
  }
  // Every array of every parameter keeps what it is given: none overlaps another.
  auto next = written.begin();
  for (const Parameter& parameter : subject.store().parameters()) {
    for (int i = 0; i < kernels::kArrays; ++i) {
      const auto array = static_cast<Array>(i);
      if (!readable(array)) continue;
      CHECK(testing::read_parameter(subject.store(), parameter.name, array) == *next++);
    }
  }
}

TEST_CASE("ParameterStore: averages start as the values, and swapping twice changes nothing",
          "[nn]") {
  Subject subject(kernels::training_arrays(kernels::UpdateKind::kNag, true));
  const std::vector<Real> values = testing::read_all(subject.store(), Array::kValue);
  subject.store().start_averages();
  CHECK(testing::read_all(subject.store(), Array::kAverage) == values);
  testing::stir_parameters(subject.store(), 8);
  const std::vector<Real> stirred = testing::read_all(subject.store(), Array::kValue);
  REQUIRE(stirred != values);
  subject.store().swap_averages();
  CHECK(testing::read_all(subject.store(), Array::kValue) == values);
  CHECK(testing::read_all(subject.store(), Array::kAverage) == stirred);
  subject.store().swap_averages();
  CHECK(testing::read_all(subject.store(), Array::kValue) == stirred);
}

TEST_CASE("ParameterStore: a discarded gradient leaves no trace in the next", "[nn]") {
  Subject subject({Array::kValue, Array::kGradient});
  const testing::TokenBatch batch = testing::token_batch(2, 5, 11, 1);
  const auto state = subject.model.state(2, 5, true);
  const auto backward = [&] {
    subject.model.forward(batch.inputs, batch.targets, *state);
    subject.model.backward(batch.inputs, *state);
    return testing::read_all(subject.store(), Array::kGradient);
  };
  const std::vector<Real> once = backward();
  const double norm = subject.store().squared_gradient_norm();
  CHECK(norm > 0);
  CHECK(backward() != once);
  CHECK(subject.store().squared_gradient_norm() == Approx(4 * norm).epsilon(1e-5));
  subject.store().discard_gradient();
  CHECK(subject.store().squared_gradient_norm() == 0);
  CHECK(backward() == once);
}

}  // namespace sluice::nn
