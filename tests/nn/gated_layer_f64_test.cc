#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <numbers>

#include "sluice/nn/gated_layer.h"
#include "tests/support/backends.h"
#include "tests/support/gradient_check.h"
#include "tests/support/layer_bench.h"
#include "tests/support/tiny_model.h"

namespace sluice::nn {
namespace {

struct Case {
  Index in, out, kernel, dilation;
  bool weight_norm;
  Index sequences, time;
};

testing::GradientMismatch check(kernels::Backend& backend, const Case& c, kernels::Gate gate,
                                double weight_drop = 0) {
  testing::LayerBench bench(
      backend,
      {.sequences = c.sequences, .time = c.time, .context = (c.kernel - 1) * c.dilation + 1}, c.in);
  GatedLayer layer(ParameterScope(bench.store), c.in,
                   {.kernel = c.kernel, .channels = c.out, .dilation = c.dilation},
                   {.gate = gate, .weight_norm = c.weight_norm});
  bench.open(c.out);
  layer.wire(bench.workspace, bench.out, 0);
  bench.close();
  layer.initialise(1, 0);
  testing::stir_parameters(bench.store, 2);
  const auto tokens = static_cast<std::size_t>(c.sequences * c.time);
  const std::vector<Real> x = testing::normal_values(tokens * static_cast<std::size_t>(c.in), 3, 1);
  const std::vector<Real> dy =
      testing::normal_values(tokens * static_cast<std::size_t>(c.out), 4, 1);
  const auto loss = [&] {
    layer.drop_weights(5, weight_drop);
    layer.forward(bench.in, bench.out);
    return testing::dot(bench.output(), dy);
  };
  bench.set_input(x);
  loss();
  bench.start_backward(dy);
  layer.backward(bench.out, bench.in);
  testing::GradientMismatch worst = testing::check_parameters(bench.store, loss);
  worst.merge(testing::check_array(
      "x", x, bench.input_gradient(), [&](std::span<const Real> in) { bench.set_input(in); },
      loss));
  return worst;
}

}  // namespace

TEST_CASE("GatedLayer: gradients agree with differences at odd shapes", "[nn]") {
  const auto c = GENERATE(values<Case>({
      {.in = 5,
       .out = 3,
       .kernel = 3,
       .dilation = 1,
       .weight_norm = true,
       .sequences = 2,
       .time = 7},
      {.in = 5,
       .out = 3,
       .kernel = 3,
       .dilation = 1,
       .weight_norm = false,
       .sequences = 2,
       .time = 7},
      {.in = 3,
       .out = 7,
       .kernel = 1,
       .dilation = 1,
       .weight_norm = true,
       .sequences = 3,
       .time = 5},
      {.in = 4,
       .out = 4,
       .kernel = 6,
       .dilation = 1,
       .weight_norm = true,
       .sequences = 2,
       .time = 4},
      {.in = 4,
       .out = 5,
       .kernel = 3,
       .dilation = 4,
       .weight_norm = true,
       .sequences = 1,
       .time = 9},
      {.in = 2,
       .out = 3,
       .kernel = 2,
       .dilation = 5,
       .weight_norm = false,
       .sequences = 3,
       .time = 4},
      {.in = 1,
       .out = 1,
       .kernel = 2,
       .dilation = 1,
       .weight_norm = true,
       .sequences = 1,
       .time = 1},
      // More rows than one chunk has.
      {.in = 2,
       .out = 1,
       .kernel = 2,
       .dilation = 1,
       .weight_norm = true,
       .sequences = 3,
       .time = 40},
  }));
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const testing::GradientMismatch worst = check(*backend, c, kernels::Gate::kGlu);
  INFO(name << " " << worst.where << ": " << worst.analytic << " against " << worst.numeric);
  CHECK(worst.largest > 0.01);
  CHECK(worst.error <= 1e-6);
}

TEST_CASE("GatedLayer: every gate has right gradients, with and without weight norm", "[nn]") {
  const auto gate = static_cast<kernels::Gate>(GENERATE(range(0, kernels::kGates)));
  const bool weight_norm = GENERATE(true, false);
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const Case c = {.in = 5,
                  .out = 17,
                  .kernel = 2,
                  .dilation = 1,
                  .weight_norm = weight_norm,
                  .sequences = 2,
                  .time = 3};
  const testing::GradientMismatch worst = check(*backend, c, gate);
  INFO(name << ", gate " << static_cast<int>(gate) << ", " << worst.where << ": " << worst.analytic
            << " against " << worst.numeric);
  CHECK(worst.largest > 0.01);
  CHECK(worst.error <= 1e-6);
}

TEST_CASE("GatedLayer: gradients under weight drop agree with differences", "[nn]") {
  const bool weight_norm = GENERATE(true, false), paired = GENERATE(true, false);
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const Case c = {.in = 5,
                  .out = 7,
                  .kernel = 3,
                  .dilation = 2,
                  .weight_norm = weight_norm,
                  .sequences = 2,
                  .time = 6};
  const testing::GradientMismatch worst =
      check(*backend, c, paired ? kernels::Gate::kGlu : kernels::Gate::kTanh, 0.4);
  INFO(name << " " << worst.where << ": " << worst.analytic << " against " << worst.numeric);
  CHECK(worst.largest > 0.01);
  CHECK(worst.error <= 1e-6);
}

TEST_CASE("initial_gain: passes the mean square on, or makes up for the slope", "[nn]") {
  using kernels::Gate;
  // E[f(z)^2], z ~ N(0, variance), by the trapezoidal rule.
  const auto mean_square = [](double variance, const std::function<double(double)>& f) {
    constexpr int kSteps = 4000;
    double sum = 0;
    for (int i = 0; i <= kSteps; ++i) {
      const double x = 10 * (2.0 * i / kSteps - 1);
      sum += std::pow(f(std::sqrt(variance) * x), 2) * std::exp(-x * x / 2);
    }
    return sum * (20.0 / kSteps) / std::sqrt(2 * std::numbers::pi);
  };
  const auto value = [](double b) { return b; };
  const auto relu = [](double b) { return std::max(b, 0.0); };
  const auto silu = [](double b) { return b / (1 + std::exp(-b)); };
  const auto gelu = [](double b) { return b * std::erfc(-b / std::numbers::sqrt2) / 2; };
  const auto passes = [&](Gate gate, const std::function<double(double)>& f) {
    const double gain = initial_gain(gate);
    const double first = is_paired(gate) ? gain : 1;
    return first * mean_square(gain, f);
  };
  CHECK(passes(Gate::kLinear, value) == Approx(1).epsilon(1e-3));
  CHECK(passes(Gate::kBilinear, value) == Approx(1).epsilon(1e-3));
  CHECK(passes(Gate::kRelu, relu) == Approx(1).epsilon(1e-3));
  CHECK(passes(Gate::kReglu, relu) == Approx(1).epsilon(1e-3));
  CHECK(passes(Gate::kSwiglu, silu) == Approx(1).epsilon(1e-3));
  CHECK(passes(Gate::kGeglu, gelu) == Approx(1).epsilon(1e-3));
  // A gate that is half open halves what it lets through.
  CHECK(initial_gain(Gate::kGlu) == 4);
  CHECK(initial_gain(Gate::kGtu) == 4);
  CHECK(initial_gain(Gate::kTanh) == 1);
}

}  // namespace sluice::nn
