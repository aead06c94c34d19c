// Backend::narrow: which numbers it leaves, and that what reads the copies computes with them.
#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/nn/gated_layer.h"
#include "tests/support/backends.h"
#include "tests/support/layer_bench.h"
#include "tests/support/tiny_model.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

using testing::normal_values;
using testing::WeightsBench;

constexpr std::array kNarrow = {WeightFormat::kBfloat16, WeightFormat::kInt8};

std::vector<std::string> vector_backend_names() {
  std::vector<std::string> names = testing::product_backend_names();
  std::erase(names, testing::kReference);
  return names;
}

double largest_difference(std::span<const Real> a, std::span<const Real> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

// v of a product or table after narrow().
template <class Shape>
std::vector<Real> rounded(const std::string& name, const Shape& shape, WeightFormat format) {
  ThreadPool pool(2);
  const auto backend = testing::make_backend(name, pool);
  WeightsBench bench(*backend, shape, true);
  bench.set_values(normal_values(static_cast<std::size_t>(shape.elements()), 1, 0.3));
  backend->narrow(bench.weights(), format);
  return bench.read(Array::kValue, shape.elements());
}

// The words of a softmax: parts of two tables that begin and end within squares.
struct Words {
  static constexpr Index kWidth = 37, kRowsOfA = 75, kRowsOfB = 50, kTokens = 33;
  static constexpr RowMap kMap = {.sequences = kTokens, .time = 1, .context = 0};

  Words(Backend& of, bool weight_norm)
      : backend(of),
        a(of, TableShape{.rows = kRowsOfA, .width = kWidth}, true, weight_norm),
        b(of, TableShape{.rows = kRowsOfB, .width = kWidth}, true, weight_norm) {
    for (WeightsBench* table : {&a, &b}) {
      const Index rows = table == &a ? kRowsOfA : kRowsOfB;
      const auto gains = normal_values(static_cast<std::size_t>(rows), 5, 1);
      std::copy(gains.begin(), gains.end(), table->g(Array::kValue));
      std::copy(gains.rbegin(), gains.rend(), table->b(Array::kValue));
      table->set_values(normal_values(static_cast<std::size_t>(rows * kWidth), 3, 0.3));
    }
    backend.load(*x, normal_values(static_cast<std::size_t>(kTokens * kWidth), 4, 1));
  }
  void narrow(WeightFormat format) {
    backend.narrow(a.weights(), format);
    backend.narrow(b.weights(), format);
  }
  std::vector<Real> log_probabilities(const std::vector<Index>& tokens) {
    const std::vector<TableRows> words = {{&a.weights(), 19, 70}, {&b.weights(), 3, 50}};
    const Index count = words[0].size() + words[1].size();
    std::vector<Real> out(tokens.size() * static_cast<std::size_t>(count));
    backend.log_probabilities(*x, words, tokens, out);
    return out;
  }

  Backend& backend;
  WeightsBench a, b;
  std::unique_ptr<Activations> x = backend.activations(kMap, kWidth, Form::kOperand);
};

// A layer before single tokens, with memory to change behind its back.
struct Layer {
  Layer(Backend& backend, Index sequences, Gate gate)
      : bench(backend, {.sequences = sequences, .time = 1, .context = 6}, 21),
        layer(nn::ParameterScope(bench.store), 21, {.kernel = 3, .channels = 40, .dilation = 2},
              {.gate = gate}) {
    bench.open(40);
    layer.wire(bench.workspace, bench.out, 0);
    bench.close();
    layer.initialise(1, 0);
    testing::stir_parameters(bench.store, 2);
    bench.set_input(normal_values(static_cast<std::size_t>(sequences * 21), 3, 1));
  }
  std::vector<Real> output() {
    layer.forward(bench.in, bench.out);
    return bench.output();
  }

  testing::LayerBench bench;
  nn::GatedLayer layer;
};

}  // namespace

TEST_CASE("narrow: every backend leaves the same numbers", "[kernels]") {
  for (const WeightFormat format : kNarrow) {
    for (const bool paired : {false, true}) {
      const ConvShape conv = {.in = 21, .out = 19, .taps = 3, .paired = paired};
      const TableShape table = {.rows = 50, .width = 21};
      const auto product = rounded(testing::kReference, conv, format);
      const auto rows = rounded(testing::kReference, table, format);
      // bf16: half of the last of 8 bits; int8: half of a 127th of the largest, here about 1.
      const auto before = normal_values(product.size(), 1, 0.3);
      CHECK(largest_difference(product, before) > 1e-4);
      CHECK(largest_difference(product, before) < 0.006);
      for (const std::string& name : testing::backend_names()) {
        INFO(name << ", " << sluice::name_of(format));
        CHECK(rounded(name, conv, format) == product);
        CHECK(rounded(name, table, format) == rows);
        CHECK(rounded(name, conv, WeightFormat::kFloat32) == before);
      }
    }
  }
}

TEST_CASE("narrow: log-probabilities are those of the rounded words", "[kernels]") {
  for (const std::string& name : testing::backend_names()) {
    for (const bool weight_norm : {false, true}) {
      for (const WeightFormat format : kNarrow) {
        ThreadPool pool(2);
        const auto backend = testing::make_backend(name, pool);
        Words words(*backend, weight_norm);
        const std::vector<Index> some = {0, 31, 7};
        const std::vector<Real> before = words.log_probabilities(some);
        words.narrow(format);
        const std::vector<Real> narrow = words.log_probabilities(some);
        backend->refresh(words.a.weights());  // lets the copies go
        backend->refresh(words.b.weights());
        const std::vector<Real> plain = words.log_probabilities(some);
        INFO(name << ", " << sluice::name_of(format) << ", weight norm " << weight_norm);
        CHECK(largest_difference(narrow, plain) < 2e-6 * 10);
        CHECK(largest_difference(narrow, before) > 1e-3);
        CHECK(largest_difference(narrow, before) < 0.1);
      }
    }
  }
}

TEST_CASE("narrow: the bits of a token do not depend on the others", "[kernels]") {
  for (const std::string& name : testing::product_backend_names()) {
    for (const WeightFormat format : kNarrow) {
      ThreadPool pool(2);
      const auto backend = testing::make_backend(name, pool);
      Words words(*backend, false);
      words.narrow(format);
      std::vector<Index> tokens;
      std::vector<Real> single;
      for (Index token = 0; token < Words::kTokens; ++token) {
        tokens.push_back(token);
        const std::vector<Real> row = words.log_probabilities({token});
        single.insert(single.end(), row.begin(), row.end());
      }
      INFO(name << ", " << sluice::name_of(format));
      CHECK(words.log_probabilities(tokens) == single);
    }
  }
}

TEST_CASE("narrow: a layer reads the copies for single tokens", "[kernels]") {
  for (const std::string& name : vector_backend_names()) {
    for (const WeightFormat format : kNarrow) {
      for (const Index sequences : {1, 2, 3, 5, 8, 31}) {
        for (const Gate gate : {Gate::kGlu, Gate::kTanh}) {
          ThreadPool pool(2);
          const auto backend = testing::make_backend(name, pool);
          Layer layer(*backend, sequences, gate);
          const std::vector<Real> before = layer.output();
          for (const auto& weights : layer.bench.store.weights()) {
            backend->narrow(*weights, format);
          }
          const std::vector<Real> narrow = layer.output();
          layer.bench.store.refresh();
          const std::vector<Real> plain = layer.output();
          INFO(name << ", " << sluice::name_of(format) << ", " << sequences << " tokens");
          if (format == WeightFormat::kBfloat16) {
            CHECK(narrow == plain);
          } else {
            CHECK(largest_difference(narrow, plain) < 1e-5);
          }
          CHECK(largest_difference(narrow, before) > 1e-4);
          CHECK(largest_difference(narrow, before) < 0.1);
          // They are there, and read.
          for (const auto& weights : layer.bench.store.weights()) {
            backend->narrow(*weights, format);
          }
          nn::Parameter& v = layer.bench.store.parameters().front();
          std::fill_n(v.slices[Array::kValue], v.stored, Real(0));
          CHECK(largest_difference(layer.output(), narrow) < 1e-5);
        }
      }
    }
  }
}

TEST_CASE("narrow: values that are loaded afterwards count", "[kernels]") {
  for (const std::string& name : testing::backend_names()) {
    ThreadPool pool(2);
    const auto backend = testing::make_backend(name, pool);
    Words words(*backend, false);
    const std::vector<Real> before = words.log_probabilities({1});
    words.narrow(WeightFormat::kInt8);
    words.a.set_values(
        normal_values(static_cast<std::size_t>(Words::kRowsOfA * Words::kWidth), 3, 0.3));
    words.b.set_values(
        normal_values(static_cast<std::size_t>(Words::kRowsOfB * Words::kWidth), 3, 0.3));
    INFO(name);
    CHECK(words.log_probabilities({1}) == before);
  }
}

}  // namespace sluice::kernels
