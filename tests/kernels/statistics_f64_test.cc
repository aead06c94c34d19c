#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/kernels/junction.h"
#include "sluice/kernels/statistics.h"
#include "tests/support/backends.h"
#include "tests/support/tiny_model.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

constexpr RowMap kMap = {.sequences = 2, .time = 37, .context = 3};
constexpr Index kChannels = 5;

// The statistics of z = [a | b] by their definition, in the README's words.
GateStatistics by_hand(Gate gate, const std::vector<Real>& z) {
  const auto columns = static_cast<std::size_t>(is_paired(gate) ? 2 * kChannels : kChannels);
  GateStatistics all;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (i % columns >= static_cast<std::size_t>(kChannels)) continue;
    const double a = z[i], b = is_paired(gate) ? z[i + kChannels] : 0;
    const double sigma = 1 / (1 + std::exp(-b)), phi = 0.5 * (1 + std::erf(b / std::sqrt(2.0)));
    double open = 0;
    bool saturated = false;
    const auto soft = [&](double value) {
      open = value;
      saturated = value < 0.05 || value > 0.95;
    };
    const auto hard = [&](bool is_open) {
      open = is_open ? 1 : 0;
      saturated = !is_open;
    };
    if (gate == Gate::kGlu || gate == Gate::kGtu || gate == Gate::kSwiglu) soft(sigma);
    if (gate == Gate::kGeglu) soft(phi);
    if (gate == Gate::kReglu) hard(b > 0);
    if (gate == Gate::kRelu) hard(a > 0);
    if (gate == Gate::kTanh) {
      open = std::abs(std::tanh(a));
      saturated = open > 0.95;
    }
    all.sum += open;
    all.saturated += saturated ? 1 : 0;
    all.units += 1;
  }
  return all;
}

// A gate's forward on each backend through a product that passes its input on.
void check_gate(Gate gate) {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  const int threads = GENERATE(1, 3);
  CAPTURE(name, threads, static_cast<int>(gate));
  ThreadPool pool(threads);
  const auto backend = testing::make_backend(name, pool);
  const Index columns = is_paired(gate) ? 2 * kChannels : kChannels;
  testing::WeightsBench pass(*backend, {.in = columns, .out = kChannels, .paired = is_paired(gate)},
                             false);
  std::vector<Real> identity(static_cast<std::size_t>(columns * columns));
  for (Index i = 0; i < columns; ++i) identity[static_cast<std::size_t>(i * (columns + 1))] = 1;
  pass.set_values(identity);
  const auto in = backend->activations(kMap, columns, Form::kOperand);
  const auto out = backend->activations(kMap, kChannels, Form::kOperand);
  const auto saved = backend->activations(kMap, kChannels * saved_per_channel(gate), Form::kSaved);
  const auto z = testing::normal_values(static_cast<std::size_t>(kMap.tokens() * columns), 7, 3);
  backend->load(*in, z);
  Junction junction;
  junction.producer = &pass.weights();
  junction.gate = gate;
  junction.dropped = out.get();
  junction.saved = saved.get();
  backend->conv_forward(*in, pass.weights(), junction);
  const GateStatistics found = backend->gate_statistics(junction), expected = by_hand(gate, z);
  CHECK(found.units == static_cast<double>(kMap.tokens() * kChannels));
  CHECK(found.units == expected.units);
  CHECK(std::abs(found.sum - expected.sum) < 1e-9 * expected.sum);
  CHECK(found.saturated == expected.saturated);
  CHECK(found.saturated > 0);
  CHECK(found.saturated < found.units);
}

}  // namespace

TEST_CASE("gate_statistics: every gate's openings by their definition", "[kernels]") {
  const auto gate = static_cast<Gate>(GENERATE(range(0, kGates)));
  if (has_openness(gate)) check_gate(gate);
}

TEST_CASE("gate_statistics: nothing where nothing opens, or nothing was saved", "[kernels]") {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const auto out = backend->activations(kMap, kChannels, Form::kOperand);
  Junction junction;
  junction.dropped = out.get();
  for (const Gate gate : {Gate::kGlu, Gate::kLinear, Gate::kBilinear}) {
    junction.gate = gate;
    CHECK(backend->gate_statistics(junction).units == 0);
  }
  // Saves both halves, but neither opens the other.
  const auto saved = backend->activations(kMap, 2 * kChannels, Form::kSaved);
  junction.saved = saved.get();
  junction.gate = Gate::kBilinear;
  CHECK(backend->gate_statistics(junction).units == 0);
  junction.gate = Gate::kGlu;
  CHECK(backend->gate_statistics(junction).units > 0);
}

TEST_CASE("openness: of one unit, from what each gate saves", "[kernels]") {
  const auto both = [](Gate gate, Real first, Real second) {
    const Real open = openness(gate, first, second);
    return std::pair{open, is_saturated(gate, open)};
  };
  using Pair = std::pair<Real, bool>;
  CHECK(both(Gate::kGlu, 9, Real(0.5)) == Pair(0.5, false));
  CHECK(both(Gate::kGlu, 9, Real(0.96)) == Pair(0.96, true));
  CHECK(both(Gate::kGtu, 9, Real(0.04)) == Pair(0.04, true));
  CHECK(both(Gate::kSwiglu, 9, 0) == Pair(0.5, false));
  CHECK(both(Gate::kSwiglu, 0, 4).second);
  CHECK(both(Gate::kGeglu, 9, 0) == Pair(0.5, false));
  CHECK(std::abs(both(Gate::kGeglu, 0, 1).first - 0.841344746068543) < 1e-14);
  CHECK(both(Gate::kGeglu, 0, -2).second);
  CHECK(both(Gate::kReglu, 9, 2) == Pair(1, false));
  CHECK(both(Gate::kReglu, 9, -2) == Pair(0, true));
  CHECK(both(Gate::kRelu, 2, 0) == Pair(1, false));
  CHECK(both(Gate::kRelu, 0, 0) == Pair(0, true));
  CHECK(both(Gate::kTanh, Real(-0.96), 0) == Pair(0.96, true));
  CHECK(both(Gate::kTanh, Real(0.01), 0) == Pair(0.01, false));
}

TEST_CASE("squared_norm: of all channels of all tokens, context rows apart", "[kernels]") {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  const int threads = GENERATE(1, 3);
  ThreadPool pool(threads);
  const auto backend = testing::make_backend(name, pool);
  const auto x = backend->activations(kMap, kChannels, Form::kOperand);
  const auto values =
      testing::normal_values(static_cast<std::size_t>(kMap.tokens() * kChannels), 3, 1);
  backend->load(*x, values);
  backend->carry_context(*x, *x, {});
  double sum = 0;
  for (const Real value : values) sum += value * value;
  CHECK(std::abs(backend->squared_norm(*x) - sum) < 1e-12 * sum);
}

}  // namespace sluice::kernels
