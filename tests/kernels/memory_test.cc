// What backends only move keeps its bits: load and store, context rows, other shapes, selections.
#include <catch2/catch.hpp>
#include <numeric>

#include "sluice/nn/norm.h"
#include "tests/support/backends.h"
#include "tests/support/tiny_model.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

using testing::normal_values;

std::vector<Real> values_for(const Activations& x, std::uint64_t seed) {
  return normal_values(static_cast<std::size_t>(x.tokens() * x.channels()), seed, 1);
}
std::vector<Real> read(const Backend& backend, const Activations& x) {
  std::vector<Real> values(static_cast<std::size_t>(x.tokens() * x.channels()));
  backend.store(x, values);
  return values;
}

// Shows the context rows of operands: out[t] = x[t - reach], by a product with the identity under
// the oldest of its taps.
class Delay {
 public:
  Delay(Backend& backend, Index channels, Index reach)
      : backend_(backend),
        shape_{.in = channels, .out = channels, .taps = reach + 1},
        weights_(backend, shape_, false) {
    std::vector<Real> v(static_cast<std::size_t>(shape_.elements()));
    for (Index c = 0; c < channels; ++c) v[static_cast<std::size_t>(c * channels + c)] = 1;
    weights_.set_values(v);
  }
  std::vector<Real> operator()(const Activations& x) {
    const auto y = backend_.activations(x.map(), shape_.out, Form::kOperand);
    Junction out;
    out.producer = &weights_.weights();
    out.dropped = y.get();
    backend_.conv_forward(x, weights_.weights(), out);
    return read(backend_, *y);
  }

 private:
  Backend& backend_;
  ConvShape shape_;
  testing::WeightsBench weights_;
};

// Rows [begin, begin + count) of sequence `sequence`.
std::vector<Real> rows(std::span<const Real> values, const RowMap& map, Index channels,
                       Index sequence, Index begin, Index count) {
  const auto part =
      values.subspan(static_cast<std::size_t>((sequence * map.time + begin) * channels),
                     static_cast<std::size_t>(count * channels));
  return {part.begin(), part.end()};
}

}  // namespace

TEST_CASE("Backends: parameters come back as they were loaded", "[kernels]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const Index in = GENERATE(5, 16, 17, 40), out = GENERATE(1, 16, 17, 40);
  const bool paired = GENERATE(false, true);
  INFO(name << ", " << in << " -> " << out << ", paired " << paired);
  ThreadPool pool(2);
  const auto backend = testing::make_backend(name, pool);
  const ConvShape conv = {.in = in, .out = out, .taps = 3, .paired = paired};
  const TableShape shape = {.rows = in, .width = out};
  testing::WeightsBench product(*backend, conv, true), table(*backend, shape, true, paired);
  for (int i = 0; i < kArrays; ++i) {
    const auto array = static_cast<Array>(i);
    if (array == Array::kGradient) continue;
    const auto seed = static_cast<std::uint64_t>(i);
    const auto v = normal_values(static_cast<std::size_t>(conv.elements()), seed, 1);
    const auto w = normal_values(static_cast<std::size_t>(shape.elements()), seed + 7, 1);
    backend->load(product.weights(), array, v);
    backend->load(table.weights(), array, w);
    CHECK(product.read(array, conv.elements()) == v);
    CHECK(table.read(array, shape.elements()) == w);
  }
  // Not under weight norm, which takes a part of it off.
  testing::WeightsBench plain(*backend, conv, false), words(*backend, shape, true);
  const auto dv = normal_values(static_cast<std::size_t>(conv.elements()), 20, 1);
  const auto dw = normal_values(static_cast<std::size_t>(shape.elements()), 21, 1);
  plain.set_gradient(dv);
  words.set_gradient(dw);
  CHECK(plain.read(Array::kGradient, conv.elements()) == dv);
  CHECK(words.read(Array::kGradient, shape.elements()) == dw);
}

TEST_CASE("Backends: activations come back as they were loaded, also in another shape",
          "[kernels]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const Index channels = GENERATE(5, 16, 17, 40);
  const Form form = GENERATE(Form::kStream, Form::kOperand, Form::kProduct, Form::kGradient);
  INFO(name << ", " << channels << " channels, form " << static_cast<int>(form));
  ThreadPool pool(2);
  const auto backend = testing::make_backend(name, pool);
  const auto x = backend->activations({.sequences = 3, .time = 8, .context = 4}, channels, form);
  const auto round_trip = [&](std::uint64_t seed) {
    const auto values = values_for(*x, seed);
    backend->load(*x, values);
    return read(*backend, *x) == values;
  };
  CHECK(round_trip(1));
  backend->reshape(*x, {.sequences = 2, .time = 5, .context = 4});
  CHECK(round_trip(2));
  backend->reshape(*x, {.sequences = 1, .time = 24, .context = 4});
  CHECK(round_trip(3));
}

// A layout may have room for more than it holds: what another shape left there is nobody's.
TEST_CASE("Backends: a norm counts what the shape holds, also after another one", "[kernels]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const Form form = GENERATE(Form::kGradient, Form::kProduct);
  INFO(name);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const auto x = backend->activations({.sequences = 3, .time = 50, .context = 2}, 20, form);
  backend->load(*x, std::vector<Real>(150 * 20, 1000));
  backend->reshape(*x, {.sequences = 2, .time = 7, .context = 2});
  backend->load(*x, std::vector<Real>(14 * 20, 1));
  CHECK(backend->squared_norm(*x) == Approx(14 * 20));
}

TEST_CASE("Backends: context rows are carried, cleared, and zero in a new shape", "[kernels]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const Index channels = GENERATE(5, 16, 17, 40), time = GENERATE(1, 3, 9);
  INFO(name << ", " << channels << " channels, T " << time);
  constexpr Index kContext = 4;
  ThreadPool pool(2);
  const auto backend = testing::make_backend(name, pool);
  const RowMap map = {.sequences = 3, .time = time, .context = kContext};
  const auto a = backend->activations(map, channels, Form::kOperand);
  const auto b = backend->activations(map, channels, Form::kOperand);
  const Index seen = std::min(time, kContext);
  Delay delay(*backend, channels, kContext);
  const std::vector<Real> zeros(static_cast<std::size_t>(seen * channels));
  const auto first = values_for(*a, 1), second = values_for(*a, 2);
  backend->load(*a, first);
  CHECK(rows(delay(*a), map, channels, 1, 0, seen) == zeros);
  // Its own: what stands `kContext` rows back is now the first window's.
  backend->carry_context(*a, *a, {});
  backend->load(*a, second);
  const auto expected = [&](Index sequence) {
    std::vector<Real> past = zeros;  // a short window leaves zeros of the first context in it
    const Index shown = std::min(seen, std::max<Index>(0, time + seen - kContext));
    const auto last =
        rows(first, map, channels, sequence, std::max<Index>(0, time - kContext), shown);
    std::copy(last.begin(), last.end(), past.end() - static_cast<std::ptrdiff_t>(last.size()));
    return past;
  };
  const auto carried = delay(*a);
  for (Index s = 0; s < 3; ++s) CHECK(rows(carried, map, channels, s, 0, seen) == expected(s));
  // Another's; the one without a source keeps its zeros.
  backend->load(*b, first);
  const std::vector<Index> sources = {2, -1, 0};
  backend->load(*a, first);
  backend->clear_context(*a);
  backend->carry_context(*a, *b, sources);
  backend->load(*b, second);
  const auto mixed = delay(*b);
  CHECK(rows(mixed, map, channels, 0, 0, seen) == expected(2));
  CHECK(rows(mixed, map, channels, 1, 0, seen) == zeros);
  CHECK(rows(mixed, map, channels, 2, 0, seen) == expected(0));
  backend->clear_context(*b);
  CHECK(rows(delay(*b), map, channels, 0, 0, seen) == zeros);
  backend->carry_context(*a, *b, {});
  backend->reshape(*b, {.sequences = 3, .time = 1, .context = kContext});
  backend->load(*b, values_for(*b, 3));
  CHECK(delay(*b) == std::vector<Real>(static_cast<std::size_t>(3 * channels)));
}

// Windows shorter than the context: what stands furthest back comes from several windows ago.
TEST_CASE("Backends: a context may be longer than a window", "[kernels]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const Index channels = GENERATE(5, 17);
  INFO(name << ", " << channels << " channels");
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const RowMap map = {.sequences = 2, .time = 1, .context = 3};
  const auto x = backend->activations(map, channels, Form::kOperand);
  Delay delay(*backend, channels, 3);
  for (std::uint64_t window = 0; window < 9; ++window) {
    backend->load(*x, values_for(*x, window));
    const auto expected = window < 3 ? std::vector<Real>(static_cast<std::size_t>(2 * channels))
                                     : values_for(*x, window - 3);
    CHECK(delay(*x) == expected);
    backend->carry_context(*x, *x, {});
  }
}

TEST_CASE("Backends: a selection gathers the rows that it names", "[kernels]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const Index channels = GENERATE(5, 16, 17, 40);
  INFO(name << ", " << channels << " channels");
  ThreadPool pool(2);
  const auto backend = testing::make_backend(name, pool);
  Selection selection = {.source = {.sequences = 3, .time = 11, .context = 2}, .tokens = {}};
  const auto x = backend->activations(selection.source, channels, Form::kOperand);
  const auto some = backend->activations(selection, channels, Form::kOperand);
  const auto values = values_for(*x, 1);
  backend->load(*x, values);
  std::vector<Index> all(33);
  std::iota(all.begin(), all.end(), Index{0});
  for (const std::vector<Index>& tokens :
       {std::vector<Index>{}, {32}, {0, 4, 10, 11, 21, 22, 30}, all, {7, 8, 9}}) {
    selection.tokens = tokens;
    backend->gather(*x, *some);
    std::vector<Real> expected;
    for (const Index token : tokens) {
      const auto row = rows(values, selection.source, channels, 0, token, 1);
      expected.insert(expected.end(), row.begin(), row.end());
    }
    CHECK(read(*backend, *some) == expected);
  }
}

TEST_CASE("Backends: sequences of one token have the same bits alone and together", "[kernels]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const Index channels = GENERATE(5, 16, 17, 40, 83), taps = GENERATE(1, 4);
  INFO(name << ", " << channels << " channels, taps " << taps);
  ThreadPool pool(2);
  const auto backend = testing::make_backend(name, pool);
  const ConvShape shape = {.in = channels, .out = 24, .taps = taps, .paired = true};
  testing::WeightsBench weights(*backend, shape, true);
  for (Index c = 0; c < shape.columns(); ++c) weights.g(Array::kValue)[c] = Real(0.5);
  weights.set_values(normal_values(static_cast<std::size_t>(shape.elements()), 1, 0.3));
  const auto forward = [&](std::span<const Real> values) {
    const RowMap map = {.sequences = static_cast<Index>(values.size()) / channels,
                        .time = 1,
                        .context = shape.reach()};
    const auto x = backend->activations(map, channels, Form::kOperand);
    const auto y = backend->activations(map, shape.out, Form::kOperand);
    // Something to stand in the context, the same for all.
    std::vector<Real> past;
    for (Index s = 0; s < map.sequences; ++s) {
      const auto row = normal_values(static_cast<std::size_t>(channels), 2, 1);
      past.insert(past.end(), row.begin(), row.end());
    }
    backend->load(*x, past);
    backend->carry_context(*x, *x, {});
    backend->load(*x, values);
    Junction out;
    out.producer = &weights.weights();
    out.gate = Gate::kGlu;
    out.dropped = y.get();
    backend->conv_forward(*x, weights.weights(), out);
    return read(*backend, *y);
  };
  const auto values = normal_values(static_cast<std::size_t>(70 * channels), 3, 1);
  const auto together = forward(values);
  for (std::size_t s = 0; s < 70; ++s) {
    const auto part = std::span(values).subspan(s * static_cast<std::size_t>(channels),
                                                static_cast<std::size_t>(channels));
    const std::vector<Real> alone = forward(part);
    REQUIRE(std::equal(alone.begin(), alone.end(),
                       together.begin() + static_cast<std::ptrdiff_t>(24 * s)));
  }
}

// A row's bits are its own, and context rows stay what they are.
TEST_CASE("Backends: a norm gives a token the same bits in any batch, and context rows none",
          "[kernels]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const auto kind = GENERATE(NormKind::kRms, NormKind::kLayer);
  INFO(name << ", kind " << static_cast<int>(kind));
  constexpr Index kChannels = 23, kTime = 40;
  ThreadPool pool(2);
  const auto backend = testing::make_backend(name, pool);
  nn::ParameterStore store(*backend);
  nn::Norm norm(nn::ParameterScope(store, "norm"), {kind, kChannels});
  store.allocate({Array::kValue});
  norm.initialise();
  testing::stir_parameters(store, 2);
  const std::vector<Real> x = normal_values(kTime * kChannels, 1, 1);
  // Of sequences of `time` tokens, as many as it takes; behind: the same three tokens later.
  const auto outputs = [&](Index time, std::vector<Real>& behind) {
    const RowMap map = {.sequences = kTime / time, .time = time, .context = 3};
    const auto in = backend->activations(map, kChannels, Form::kStream);
    const auto out = backend->activations(map, kChannels, Form::kOperand);
    backend->load(*in, x);
    Junction from, to;
    from.stream = in.get();
    to.dropped = out.get();
    norm.forward(from, to);
    std::vector<Real> y(x.size());
    backend->store(*out, y);
    behind = Delay(*backend, kChannels, 3)(*out);
    return y;
  };
  std::vector<Real> behind, other;
  const std::vector<Real> whole = outputs(kTime, behind);
  CHECK(std::all_of(behind.begin(), behind.begin() + 3 * kChannels,
                    [](Real value) { return value == 0; }));
  CHECK(std::equal(behind.begin() + 3 * kChannels, behind.end(), whole.begin()));
  for (const Index time : {1, 8, 20}) {
    INFO(time << " tokens");
    CHECK(outputs(time, other) == whole);
    CHECK(std::all_of(other.begin(), other.begin() + std::min<Index>(time, 3) * kChannels,
                      [](Real value) { return value == 0; }));
  }
}

}  // namespace sluice::kernels
