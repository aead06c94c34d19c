#include <catch2/catch.hpp>
#include <numeric>

#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

constexpr Index kRows = 7, kWidth = 12, kWords = 20;

// The softmax of tests/golden on [1, 7] or [7, 1] tokens with a gradient array behind.
struct Subject {
  Subject(const std::string& name, Index sequences)
      : backend(testing::make_backend(name, pool)),
        table(*backend, TableShape{.rows = kWords, .width = kWidth}, true) {
    const RowMap map = {.sequences = sequences, .time = kRows / sequences, .context = 3};
    x = backend->activations(map, kWidth, Form::kOperand);
    dx = backend->activations(map, kWidth, Form::kProduct);
    below.dropped = x.get();
    below.dz = dx.get();
    backend->load(*x, golden.values("x"));
    const std::vector<Real> bias = golden.values("b");
    std::copy(bias.begin(), bias.end(), table.b(Array::kValue));
    table.set_values(golden.values("W"));
  }
  double forward(std::span<const int> targets) {
    std::vector<double> nats(targets.size());
    backend->softmax_forward(*x, all, targets, nats, tape.get());
    return std::accumulate(nats.begin(), nats.end(), 0.0);
  }
  std::vector<Real> backward(std::span<const int> targets) {
    backend->softmax_backward(*tape, *x, targets, all, below, Into::kClose);
    std::vector<Real> gradient(kRows * kWidth);
    backend->store(*dx, gradient);
    return gradient;
  }

  testing::Golden golden{"softmax_embedding"};
  ThreadPool pool{1};
  std::unique_ptr<Backend> backend;
  testing::WeightsBench table;
  std::vector<TableRows> all = {{.table = &table.weights(), .begin = 0, .end = kWords}};
  std::unique_ptr<Activations> x, dx;
  Junction below;
  std::unique_ptr<SoftmaxTape> tape = backend->softmax_tape();
};

std::vector<Real> times(std::vector<Real> values, Real factor) {
  for (Real& value : values) value *= factor;
  return values;
}

}  // namespace

TEST_CASE("Softmax: log-probabilities, loss and gradients equal PyTorch's", "[kernels]") {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  const Index sequences = GENERATE(1, kRows);
  INFO(name << ", " << sequences << " sequences");
  constexpr double kTolerance = 1e-9;
  Subject s(name, sequences);
  const std::vector<int> targets = s.golden.values<int>("target");
  CHECK(s.forward(targets) / kRows == Approx(s.golden.scalar("loss_mean")).epsilon(1e-12));

  const std::vector<Index> tokens = {0, 1, 2, 3, 4, 5, 6};
  std::vector<Real> log_p(kRows * kWords);
  s.backend->log_probabilities(*s.x, s.all, tokens, log_p);
  CHECK(testing::relative_difference(log_p, s.golden.values("logprob")) <= kTolerance);
  const std::vector<Index> last = {6, 2};
  std::vector<Real> two(2 * kWords);
  s.backend->log_probabilities(*s.x, s.all, last, two);
  CHECK(testing::relative_difference(std::span(two).first(kWords),
                                     std::span(log_p).subspan(6 * kWords)) <= 1e-14);

  // PyTorch's are of the mean, ours of the sum.
  CHECK(testing::relative_difference(times(s.backward(targets), Real(1) / kRows),
                                     s.golden.values("dx")) <= kTolerance);
  const auto dw = s.table.read(Array::kGradient, kWords * kWidth);
  CHECK(testing::relative_difference(times(dw, Real(1) / kRows), s.golden.values("dW")) <=
        kTolerance);
  const std::vector<Real> db(s.table.b(Array::kGradient), s.table.b(Array::kGradient) + kWords);
  CHECK(testing::relative_difference(times(db, Real(1) / kRows), s.golden.values("db")) <=
        kTolerance);

  // A second batch adds.
  s.forward(targets);
  s.backward(targets);
  CHECK(testing::relative_difference(
            times(s.table.read(Array::kGradient, kWords * kWidth), Real(0.5)), dw) <= 1e-14);
}

TEST_CASE("Softmax: masked targets have no loss and no gradient", "[kernels]") {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  Subject s(name, 1);
  const std::vector<int> one = {-1, -1, 4, -1, -1, -1, -1}, none(kRows, -1);
  CHECK(s.forward(none) == 0);
  CHECK(testing::relative_difference(s.backward(none), std::vector<Real>(kRows * kWidth)) == 0);
  CHECK(testing::relative_difference(s.table.read(Array::kGradient, kWords * kWidth),
                                     std::vector<Real>(kWords * kWidth)) == 0);
  CHECK(s.forward(one) > 0);
  const std::vector<Real> dx = s.backward(one);
  for (Index row = 0; row < kRows; ++row) {
    const auto part = std::span(dx).subspan(static_cast<std::size_t>(row * kWidth), kWidth);
    const bool zero = std::all_of(part.begin(), part.end(), [](Real d) { return d == 0; });
    CHECK(zero == (row != 2));
  }
}

}  // namespace sluice::kernels
