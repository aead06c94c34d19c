// Weight drop on every backend: what products read, what gradients become, and that all of it is
// gone behind the step.
#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/nn/gated_layer.h"
#include "tests/support/backends.h"
#include "tests/support/layer_bench.h"
#include "tests/support/outcome.h"

namespace sluice::kernels {
namespace {

using testing::normal_values;
using testing::Outcome;

constexpr std::uint64_t kKey = 77;
constexpr double kRate = 0.4;

struct LayerCase {
  Index in, out, taps, dilation;
  Gate gate;
  bool weight_norm;
  RowMap map;
};

// Odd widths, single tokens, and shapes that a vector backend multiplies less for
// (simd/minimal_filter.h).
std::vector<LayerCase> layer_cases() {
  std::vector<LayerCase> cases = {{5, 17, 3, 2, Gate::kGlu, true, {2, 7, 0}},
                                  {40, 5, 1, 1, Gate::kGtu, false, {3, 5, 1}},
                                  {17, 16, 4, 1, Gate::kRelu, true, {1, 33, 0}},
                                  {16, 40, 2, 3, Gate::kTanh, false, {2, 9, 0}},
                                  {5, 20, 2, 1, Gate::kGlu, true, {6, 1, 0}},
                                  {100, 97, 4, 1, Gate::kGlu, true, {3, 45, 1}},
                                  {96, 120, 3, 1, Gate::kRelu, false, {1, 131, 0}}};
  for (LayerCase& c : cases) c.map.context += (c.taps - 1) * c.dilation;
  return cases;
}

// Too much for loops that hash a weight's place each time they read it.
bool is_long_for(const std::string& name, const LayerCase& c) {
  return name == testing::kBlocked && c.in > 90;
}

std::ostream& operator<<(std::ostream& out, const LayerCase& c) {
  return out << c.in << " -> " << c.out << ", taps " << c.taps << ", gate "
             << static_cast<int>(c.gate) << ", weight norm " << c.weight_norm << ", T "
             << c.map.time;
}

// A layer on a backend, with stirred parameters.
struct Subject {
  Subject(const std::string& name, int threads, const LayerCase& layer_case)
      : c(layer_case),
        pool(threads),
        backend(testing::make_backend(name, pool)),
        bench(*backend, c.map, c.in),
        layer(nn::ParameterScope(bench.store), c.in,
              {.kernel = c.taps, .channels = c.out, .dilation = c.dilation},
              {.gate = c.gate, .weight_norm = c.weight_norm}) {
    bench.open(c.out, testing::kTrainingArrays);
    layer.wire(bench.workspace, bench.out, 0);
    bench.close();
    layer.initialise(1, 0);
    testing::stir_parameters(bench.store, 2);
    set_input(3);
  }
  void set_input(std::uint64_t seed) {
    bench.set_input(normal_values(static_cast<std::size_t>(c.map.tokens() * c.in), seed, 1));
  }
  std::vector<Real> output() {
    layer.forward(bench.in, bench.out);
    return bench.output();
  }
  void backward(std::uint64_t seed) {
    bench.start_backward(normal_values(static_cast<std::size_t>(c.map.tokens() * c.out), seed, 1));
    layer.backward(bench.out, bench.in);
  }
  void update(std::int64_t step) {
    bench.store.update({.kind = UpdateKind::kAdamw,
                        .lr = 0.05,
                        .scale = 1 / static_cast<double>(c.map.tokens()),
                        .momentum = 0.9,
                        .beta2 = 0.99,
                        .eps = 0.01,
                        .matrix_decay = 0.1,
                        .step = step});
  }
  std::string weight() const { return c.weight_norm ? "conv.weight_v" : "conv.weight"; }

  LayerCase c;
  ThreadPool pool;
  std::unique_ptr<Backend> backend;
  testing::LayerBench bench;
  nn::GatedLayer layer;
};

// Two steps of two micro-batches with a mask each, and one whose gradient is discarded.
Outcome train(const std::string& name, int threads, const LayerCase& c) {
  Subject subject(name, threads, c);
  Outcome result;
  for (std::int64_t step = 1; step <= 3; ++step) {
    const auto seed = static_cast<std::uint64_t>(100 * step);
    for (std::uint64_t micro = 0; micro < 2; ++micro) {
      subject.layer.drop_weights(kKey + seed, kRate);
      subject.set_input(seed + 2 * micro);
      result.add("output", subject.output());
      subject.backward(seed + 2 * micro + 1);
      result.add("input's gradient", subject.bench.input_gradient());
    }
    result.add("gradient", subject.bench.store, Array::kGradient);
    result.add("norm of the gradient", subject.bench.store.squared_gradient_norm());
    if (step == 2) {
      subject.bench.store.discard_gradient();
    } else {
      subject.update(step);
    }
    result.add("output of whole weights", subject.output());
  }
  for (const Array array : {Array::kValue, Array::kState0, Array::kState1}) {
    result.add("array " + std::to_string(static_cast<int>(array)), subject.bench.store, array);
  }
  return result;
}

// Which weights of a product are dropped, from its definition.
std::vector<bool> dropped(const WeightDrop& drop, Index taps, Index in, Index columns) {
  std::vector<bool> mask;
  for (Index tap = 0; tap < taps; ++tap) {
    for (Index input = 0; input < in; ++input) {
      const RowKey key =
          row_key(drop.key, static_cast<std::uint64_t>(tap), static_cast<std::uint64_t>(input));
      for (Index column = 0; column < columns; ++column) {
        mask.push_back(channel_bits(key, static_cast<std::uint32_t>(column)) <
                       dropout_threshold(drop.rate));
      }
    }
  }
  return mask;
}

}  // namespace

TEST_CASE("Backends: layers train alike under weight drop, on any number of threads", "[kernels]") {
  for (const LayerCase& c : layer_cases()) {
    INFO(c);
    const Outcome expected = train(testing::kReference, 1, c);
    for (const std::string& name : testing::backend_names()) {
      if (is_long_for(name, c)) continue;
      INFO(name);
      const Outcome actual = train(name, 1, c);
      testing::check_close(actual, expected);
      CHECK(train(name, 3, c) == actual);
    }
  }
}

TEST_CASE("Backends: weight drop with products of bfloat16", "[kernels]") {
  for (LayerCase c : layer_cases()) {
    if (c.gate == Gate::kRelu) c.gate = Gate::kTanh;  // rounding may cross the kink
    INFO(c);
    const Outcome expected = train(testing::kReference, 1, c);
    // A rounded operand is off by 2^-9 of itself at most, by 2^-17 in two parts; adamw amplifies.
    for (const auto& [precision, tolerance] :
         {std::pair{Precision::kBf16, 0.15}, std::pair{Precision::kBf16x3, 5e-4}}) {
      for (const std::string& name : testing::narrowing_backend_names(precision)) {
        INFO(name);
        const Outcome actual = train(name, 1, c);
        testing::check_close(actual, expected, tolerance);
        CHECK(train(name, 3, c) == actual);
      }
    }
  }
}

TEST_CASE("Backends: dropped weights are m v / (1 - p), the norm is that of all of v",
          "[kernels]") {
  std::vector<std::string> names = testing::backend_names();
  const bool single = GENERATE(false, true);  // whose products have a form of their own
  const bool weight_norm = GENERATE(false, true);
  const LayerCase c = {
      17, 20, 3, 1, Gate::kGlu, weight_norm, single ? RowMap{5, 1, 2} : RowMap{2, 9, 2}};
  for (const std::string& name : names) {
    INFO(name << ", single tokens " << single << ", weight norm " << weight_norm);
    Subject subject(name, 1, c), masked(name, 1, c);
    subject.layer.drop_weights(kKey, kRate);
    const std::vector<bool> mask =
        dropped({derive_key(kKey, subject.weight()), kRate}, c.taps, c.in, 2 * c.out);
    auto v = testing::read_parameter(masked.bench.store, masked.weight(), Array::kValue);
    REQUIRE(v.size() == mask.size());
    std::vector<double> whole(static_cast<std::size_t>(2 * c.out)), rest(whole.size());
    for (std::size_t i = 0; i < v.size(); ++i) {
      const double square = static_cast<double>(v[i]) * static_cast<double>(v[i]);
      whole[i % whole.size()] += square;
      v[i] = mask[i] ? 0 : v[i] * static_cast<Real>(1 / (1 - kRate));
      rest[i % rest.size()] += static_cast<double>(v[i]) * static_cast<double>(v[i]);
    }
    std::vector<Real> g;
    if (weight_norm) {
      // So that g / |masked v| is the scale that g / |v| was.
      g = testing::read_parameter(masked.bench.store, "conv.weight_g", Array::kValue);
      for (std::size_t i = 0; i < g.size(); ++i)
        g[i] *= static_cast<Real>(std::sqrt(rest[i] / whole[i]));
    }
    for (nn::Parameter& parameter : masked.bench.store.parameters()) {
      if (parameter.name == masked.weight()) masked.bench.store.write(parameter, Array::kValue, v);
      if (parameter.name == "conv.weight_g") masked.bench.store.write(parameter, Array::kValue, g);
    }
    masked.bench.store.refresh();
    CHECK(testing::relative_difference(subject.output(), masked.output()) <=
          testing::kFloatTolerance);
    // What is read of the parameters is whole all the same.
    CHECK(
        testing::read_parameter(subject.bench.store, subject.weight(), Array::kValue) ==
        testing::read_parameter(Subject(name, 1, c).bench.store, subject.weight(), Array::kValue));
    subject.backward(5);
    if (weight_norm) continue;
    const auto gradient =
        testing::read_parameter(subject.bench.store, subject.weight(), Array::kGradient);
    // Of single tokens only the newest tap reads anything.
    std::size_t wrong = 0;
    for (std::size_t i = single ? mask.size() / 3 * 2 : 0; i < mask.size(); ++i) {
      wrong += (gradient[i] == 0) != mask[i];
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE(
    "Backends: weights are whole again after a step, a discarded one, a refresh and a drop of "
    "rate 0",
    "[kernels]") {
  std::vector<std::string> names = testing::backend_names();
  for (const Precision precision : {Precision::kBf16, Precision::kBf16x3}) {
    const auto more = testing::narrowing_backend_names(precision);
    names.insert(names.end(), more.begin(), more.end());
  }
  for (const LayerCase& c : layer_cases()) {
    for (const std::string& name : names) {
      if (is_long_for(name, c)) continue;
      INFO(name << ", " << c);
      Subject subject(name, 1, c);
      const std::vector<Real> whole = subject.output();
      const auto drop = [&] {
        subject.layer.drop_weights(kKey, kRate);
        CHECK(testing::relative_difference(subject.output(), whole) > 0.05);
      };
      drop();
      subject.backward(5);
      subject.bench.store.discard_gradient();
      CHECK(subject.output() == whole);
      drop();
      subject.bench.store.refresh();
      CHECK(subject.output() == whole);
      drop();
      subject.layer.drop_weights(kKey, 0);
      CHECK(subject.output() == whole);
      // Another mask in between leaves nothing of the one before.
      drop();
      const std::vector<Real> first = subject.output();
      subject.layer.drop_weights(kKey + 1, kRate);
      CHECK(subject.output() != first);
      drop();
      CHECK(subject.output() == first);
      subject.backward(5);
      subject.update(1);
      const std::vector<Real> stepped = subject.output();
      subject.bench.store.refresh();
      CHECK(subject.output() == stepped);
    }
  }
}

}  // namespace sluice::kernels
