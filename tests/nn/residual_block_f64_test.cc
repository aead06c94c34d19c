#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/nn/residual_block.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/gradient_check.h"
#include "tests/support/layer_bench.h"
#include "tests/support/tiny_model.h"

namespace sluice::nn {
namespace {

using kernels::Array;

// One block on a bench.
struct Subject {
  Subject(kernels::Backend& backend, const kernels::RowMap& map, Index in,
          const std::vector<LayerShape>& layers, bool weight_norm, Real scale,
          std::optional<kernels::NormKind> norm = std::nullopt)
      : bench(backend, map, in),
        block(ParameterScope(bench.store), in, layers, LayerStyle{.weight_norm = weight_norm},
              scale, norm) {
    bench.open(block.out());
    std::size_t turn = 0;
    block.wire(bench.workspace, bench.in, bench.out, cache, turn, 0);
    bench.close();
  }
  std::vector<Real> forward() {
    block.forward(bench.in, bench.out, cache);
    return bench.output();
  }
  void backward(std::span<const Real> dy) {
    bench.start_backward(dy);
    block.backward(bench.out, bench.in, cache);
  }
  testing::LayerBench bench;
  ResidualBlock block;
  ResidualBlock::Cache cache;
};

struct Case {
  std::string name;
  Index in = 1;
  std::vector<LayerShape> layers;
  bool weight_norm = true;
  Index sequences = 2, time = 7;
  std::optional<kernels::NormKind> norm = {};
};

testing::GradientMismatch check(kernels::Backend& backend, const Case& c) {
  const kernels::RowMap map = {.sequences = c.sequences, .time = c.time, .context = 9};
  Subject subject(backend, map, c.in, c.layers, c.weight_norm, 0.6, c.norm);
  subject.block.initialise(1, 0);
  testing::stir_parameters(subject.bench.store, 2);
  const auto values = [&](Index channels, std::uint64_t seed) {
    return testing::normal_values(static_cast<std::size_t>(map.tokens() * channels), seed, 1);
  };
  const std::vector<Real> x = values(c.in, 3), dy = values(subject.block.out(), 4);
  const auto loss = [&] { return testing::dot(subject.forward(), dy); };
  subject.bench.set_input(x);
  loss();
  subject.backward(dy);
  testing::GradientMismatch worst = testing::check_parameters(subject.bench.store, loss);
  worst.merge(testing::check_array(
      "x", x, subject.bench.input_gradient(),
      [&](std::span<const Real> in) { subject.bench.set_input(in); }, loss));
  return worst;
}

}  // namespace

TEST_CASE("ResidualBlock: gradients agree with differences at odd shapes", "[nn]") {
  const Case c =
      GENERATE(Case{.name = "one layer", .in = 5, .layers = {{.kernel = 3, .channels = 5}}},
               Case{.name = "one layer, no norm",
                    .in = 5,
                    .layers = {{.kernel = 3, .channels = 5}},
                    .weight_norm = false},
               Case{.name = "projection", .in = 4, .layers = {{.kernel = 2, .channels = 7}}},
               Case{.name = "projection, no norm",
                    .in = 7,
                    .layers = {{.kernel = 2, .channels = 3}},
                    .weight_norm = false},
               Case{.name = "bottleneck",
                    .in = 7,
                    .layers = {{.kernel = 1, .channels = 3},
                               {.kernel = 4, .channels = 3},
                               {.kernel = 1, .channels = 7}}},
               Case{.name = "bottleneck with projection and dilation",
                    .in = 4,
                    .layers = {{.kernel = 1, .channels = 3},
                               {.kernel = 3, .channels = 2, .dilation = 4},
                               {.kernel = 1, .channels = 6}},
                    .sequences = 1},
               Case{.name = "shorter than its kernel",
                    .in = 3,
                    .layers = {{.kernel = 7, .channels = 3}},
                    .sequences = 3,
                    .time = 2},
               Case{.name = "behind an rms norm",
                    .in = 5,
                    .layers = {{.kernel = 3, .channels = 5}},
                    .weight_norm = false,
                    .norm = kernels::NormKind::kRms},
               Case{.name = "bottleneck and projection behind a layer norm",
                    .in = 4,
                    .layers = {{.kernel = 1, .channels = 3},
                               {.kernel = 3, .channels = 2, .dilation = 4},
                               {.kernel = 1, .channels = 6}},
                    .weight_norm = false,
                    .norm = kernels::NormKind::kLayer});
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const testing::GradientMismatch worst = check(*backend, c);
  INFO(name << ", " << c.name << ", " << worst.where << ": " << worst.analytic << " against "
            << worst.numeric);
  CHECK(worst.largest > 0.01);
  CHECK(worst.error <= 1e-6);
}

TEST_CASE("ResidualBlock: values and gradients equal PyTorch's", "[nn]") {
  const Case c =
      GENERATE(Case{.name = "single", .in = 6, .layers = {{.kernel = 4, .channels = 5}}, .time = 9},
               Case{.name = "bottleneck",
                    .in = 8,
                    .layers = {{.kernel = 1, .channels = 4},
                               {.kernel = 3, .channels = 4},
                               {.kernel = 1, .channels = 8}},
                    .time = 9},
               Case{.name = "short",
                    .in = 3,
                    .layers = {{.kernel = 7, .channels = 3}},
                    .sequences = 1,
                    .time = 4});
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  INFO(name << ", " << c.name);
  constexpr double kTolerance = 1e-9;
  const testing::Golden golden("glu_block_" + c.name);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  Subject subject(*backend, {.sequences = c.sequences, .time = c.time, .context = 6}, c.in,
                  c.layers, true, static_cast<Real>(std::sqrt(0.5)));
  nn::ParameterStore& store = subject.bench.store;
  REQUIRE(golden.names("value.").size() == store.parameters().size());
  for (Parameter& parameter : store.parameters()) {
    REQUIRE(golden.shape("value." + parameter.name) == parameter.shape);
    store.write(parameter, Array::kValue, golden.values("value." + parameter.name));
  }
  store.refresh();

  subject.bench.set_input(golden.values("x"));
  CHECK(testing::relative_difference(subject.forward(), golden.values("y")) <= kTolerance);
  subject.backward(golden.values("dy"));
  CHECK(testing::relative_difference(subject.bench.input_gradient(), golden.values("dx")) <=
        kTolerance);
  for (const Parameter& parameter : store.parameters()) {
    INFO(parameter.name);
    const std::vector<Real> gradient =
        testing::read_parameter(store, parameter.name, Array::kGradient);
    CHECK(testing::relative_difference(gradient, golden.values("gradient." + parameter.name)) <=
          kTolerance);
  }
}

}  // namespace sluice::nn
