#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/nn/norm.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/gradient_check.h"
#include "tests/support/layer_bench.h"
#include "tests/support/tiny_model.h"

namespace sluice::nn {
namespace {

using kernels::Array;
using kernels::NormKind;

// A norm on a bench, reading a stream.
struct Subject {
  Subject(kernels::Backend& backend, const kernels::RowMap& map, const kernels::NormShape& shape)
      : bench(backend, map, shape.channels), norm(ParameterScope(bench.store), shape) {
    bench.open(shape.channels);
    bench.in.stream = bench.workspace.stream(shape.channels);
    norm.wire(bench.workspace, bench.out, 0);
    bench.close();
    norm.initialise();
  }
  std::vector<Real> forward() {
    norm.forward(bench.in, bench.out);
    return bench.output();
  }
  void backward(std::span<const Real> dy) {
    bench.start_backward(dy);
    norm.backward(bench.out, bench.in);
  }
  testing::LayerBench bench;
  Norm norm;
};

std::vector<Real> values_for(const kernels::RowMap& map, Index channels, std::uint64_t seed) {
  return testing::normal_values(static_cast<std::size_t>(map.tokens() * channels), seed, 1);
}

}  // namespace

TEST_CASE("Norm: values and gradients equal PyTorch's", "[nn]") {
  const auto kind = GENERATE(NormKind::kRms, NormKind::kLayer);
  const std::string backend_name = GENERATE(testing::kReference, testing::kBlocked);
  const std::string name = kind == NormKind::kRms ? "rms" : "layer";
  INFO(name << ", " << backend_name);
  const testing::Golden golden("norms");
  ThreadPool pool(1);
  const auto backend = testing::make_backend(backend_name, pool);
  Subject subject(*backend, {.sequences = 2, .time = 4, .context = 3}, {kind, 5});
  nn::ParameterStore& store = subject.bench.store;
  CHECK(store.parameters().size() == (kind == NormKind::kLayer ? 2 : 1));
  for (Parameter& parameter : store.parameters()) {
    store.write(parameter, Array::kValue, golden.values(parameter.name));
  }
  store.refresh();
  constexpr double kTolerance = 1e-12;
  subject.bench.set_input(golden.values("x"));
  CHECK(testing::relative_difference(subject.forward(), golden.values(name + ".y")) <= kTolerance);
  subject.backward(golden.values("dy"));
  CHECK(testing::relative_difference(subject.bench.input_gradient(), golden.values(name + ".dx")) <=
        kTolerance);
  for (const Parameter& parameter : store.parameters()) {
    INFO(parameter.name);
    CHECK(testing::relative_difference(
              testing::read_parameter(store, parameter.name, Array::kGradient),
              golden.values(name + ".gradient." + parameter.name)) <= kTolerance);
  }
}

TEST_CASE("Norm: gradients agree with differences", "[nn]") {
  const auto kind = GENERATE(NormKind::kRms, NormKind::kLayer);
  const Index channels = GENERATE(1, 2, 7);
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  const kernels::RowMap map = {.sequences = 2, .time = 3, .context = 2};
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  Subject subject(*backend, map, {kind, channels});
  for (Parameter& parameter : subject.bench.store.parameters()) {
    subject.bench.store.write(
        parameter, Array::kValue,
        testing::normal_values(static_cast<std::size_t>(channels), parameter.name.size(), 1));
  }
  subject.bench.store.refresh();
  const std::vector<Real> x = values_for(map, channels, 3), dy = values_for(map, channels, 4);
  const auto loss = [&] { return testing::dot(subject.forward(), dy); };
  subject.bench.set_input(x);
  loss();
  subject.backward(dy);
  testing::GradientMismatch worst = testing::check_parameters(subject.bench.store, loss);
  CHECK(worst.error <= 1e-6);
  // One channel: an rms norm is the sign, all but flat; a layer norm is the offset.
  if (channels == 1) return;
  worst.merge(testing::check_array(
      "x", x, subject.bench.input_gradient(),
      [&](std::span<const Real> in) { subject.bench.set_input(in); }, loss));
  INFO(name << ", " << channels << " channels, " << worst.where << ": " << worst.analytic
            << " against " << worst.numeric);
  CHECK(worst.largest > 0.01);
  CHECK(worst.error <= 1e-6);
}

// What DESIGN asks of a start: the norm alone, of size 1 whatever the stream's.
TEST_CASE("Norm: starts with mean squares of 1, and with mean 0 as a layer norm", "[nn]") {
  const auto kind = GENERATE(NormKind::kRms, NormKind::kLayer);
  const kernels::RowMap map = {.sequences = 1, .time = 5, .context = 0};
  ThreadPool pool(1);
  const auto backend = testing::make_backend(testing::kReference, pool);
  Subject subject(*backend, map, {kind, 40});
  std::vector<Real> x = values_for(map, 40, 3);
  for (Real& value : x) value = 100 * value + 50;
  subject.bench.set_input(x);
  const std::vector<Real> y = subject.forward();
  for (std::size_t t = 0; t < 5; ++t) {
    double sum = 0, squares = 0;
    for (std::size_t c = 0; c < 40; ++c) {
      sum += y[40 * t + c];
      squares += y[40 * t + c] * y[40 * t + c];
    }
    CHECK(squares / 40 == Approx(1).epsilon(1e-6));
    if (kind == NormKind::kLayer) CHECK(std::abs(sum) < 1e-9);
  }
  // A stream of zeros stays one.
  std::fill(x.begin(), x.end(), Real(0));
  subject.bench.set_input(x);
  CHECK(subject.forward() == x);
}

}  // namespace sluice::nn
