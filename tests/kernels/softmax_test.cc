#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>

#include "sluice/kernels/instruction_set.h"
#include "tests/support/tiny_model.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

// Words with chosen logits: one channel, x = 1, the table holds the logits.
struct Subject {
  Subject(InstructionSet set, const std::vector<Real>& logits)
      : backend(make_backend(pool, set)),
        words(static_cast<Index>(logits.size())),
        table(*backend, TableShape{.rows = words, .width = 1}, true) {
    table.set_values(logits);
    const std::vector<Real> one = {1};
    backend->load(*x, one);
    below.dropped = x.get();
    below.dz = dx.get();
  }
  double nats(int target) {
    const std::vector<int> targets = {target};
    std::vector<double> loss(1);
    backend->softmax_forward(*x, all, targets, loss, tape.get());
    return loss[0];
  }
  std::vector<Real> log_probabilities() {
    const std::vector<Index> first = {0};
    std::vector<Real> log_p(static_cast<std::size_t>(words));
    backend->log_probabilities(*x, all, first, log_p);
    return log_p;
  }
  // p - one hot, read off the bias.
  std::vector<Real> gradient(int target) {
    nats(target);
    const std::vector<int> targets = {target};
    backend->softmax_backward(*tape, *x, targets, all, below, Into::kClose);
    backend->discard_gradient(table.weights());
    const Real* db = table.b(Array::kGradient);
    return {db, db + words};
  }

  ThreadPool pool{1};
  std::unique_ptr<Backend> backend;
  RowMap map = {.sequences = 1, .time = 1, .context = 0};
  std::unique_ptr<Activations> x = backend->activations(map, 1, Form::kOperand);
  std::unique_ptr<Activations> dx = backend->activations(map, 1, Form::kProduct);
  std::unique_ptr<SoftmaxTape> tape = backend->softmax_tape();
  Index words;
  testing::WeightsBench table;
  std::vector<TableRows> all = {{.table = &table.weights(), .begin = 0, .end = words}};
  Junction below;
};

}  // namespace

TEST_CASE("Softmax: logits of +-1e4 give finite, right losses and gradients", "[kernels]") {
  const auto set = GENERATE(from_range(supported_instruction_sets()));
  INFO(name_of(set));
  // Over several panels, the extremes in different ones.
  std::vector<Real> logits(1000, 0);
  logits[3] = -1e4F;
  logits[500] = 1e4F;
  logits[999] = 1e4F;
  Subject s(set, logits);
  CHECK(s.nats(500) == Approx(std::log(2.0)).epsilon(1e-6));
  CHECK(s.nats(0) == Approx(1e4 + std::log(2.0)).epsilon(1e-9));
  CHECK(s.nats(3) == Approx(2e4 + std::log(2.0)).epsilon(1e-9));
  const std::vector<Real> log_p = s.log_probabilities();
  CHECK(log_p[999] == Approx(-std::log(2.0)).epsilon(1e-6));
  CHECK(log_p[3] == Approx(-2e4 - std::log(2.0)).epsilon(1e-6));
  const std::vector<Real> gradient = s.gradient(500);
  CHECK(gradient[500] == Approx(-0.5).epsilon(1e-6));
  CHECK(gradient[999] == Approx(0.5).epsilon(1e-6));
  CHECK(std::abs(gradient[0]) < 1e-30F);
  for (const Real all : {-1e4F, 1e4F}) {
    Subject equal(set, std::vector<Real>(70, all));
    CHECK(equal.nats(69) == Approx(std::log(70.0)).epsilon(1e-6));
    CHECK(equal.gradient(0)[1] == Approx(1.0 / 70).epsilon(1e-6));
  }
}

TEST_CASE("Softmax: a target with p near 1 still has an accurate loss and gradient", "[kernels]") {
  const auto set = GENERATE(from_range(supported_instruction_sets()));
  INFO(name_of(set));
  // p = 1 / (1 + rest): rest is far below the last place of 1 in float.
  const Real lead = GENERATE(Real(10), Real(20), Real(25));
  const Index words = GENERATE(2, 600);
  const Real base = GENERATE(Real(0), Real(1000));
  INFO(lead << " " << words << " " << base);
  std::vector<Real> logits(static_cast<std::size_t>(words), base);
  logits[1] = base + lead;
  Subject s(set, logits);
  const double rest = static_cast<double>(words - 1) * std::exp(-static_cast<double>(lead));
  CHECK(s.nats(1) == Approx(std::log1p(rest)).epsilon(1e-4));
  const std::vector<Real> gradient = s.gradient(1);
  CHECK(gradient[1] == Approx(-rest / (1 + rest)).epsilon(1e-4));
  CHECK(gradient[0] == Approx(rest / (1 + rest) / static_cast<double>(words - 1)).epsilon(1e-5));
}

TEST_CASE("Softmax: probabilities sum to 1 and agree with the loss", "[kernels]") {
  const auto set = GENERATE(from_range(supported_instruction_sets()));
  INFO(name_of(set));
  const Index words = GENERATE(1, 7, 256, 257, 1000, 3001);
  INFO(words << " words");
  Subject s(set, testing::normal_values(static_cast<std::size_t>(words), 1, 5));
  const std::vector<Real> log_p = s.log_probabilities();
  double sum = 0;
  for (const Real value : log_p) sum += std::exp(static_cast<double>(value));
  CHECK(sum == Approx(1).margin(1e-5));
  for (const Index word : {Index{0}, words / 2, words - 1}) {
    CHECK(s.nats(static_cast<int>(word)) ==
          Approx(-log_p[static_cast<std::size_t>(word)]).margin(2e-6));
  }
  const std::vector<Real> gradient = s.gradient(0);
  const double total = std::accumulate(gradient.begin(), gradient.end(), 0.0);
  CHECK(std::abs(total) < 1e-5);
}

// The trainer skips a step by its loss: nothing broken may look like a number.
TEST_CASE("Softmax: a logit that is not finite makes the loss not finite", "[kernels]") {
  const auto set = GENERATE(from_range(supported_instruction_sets()));
  INFO(name_of(set));
  const Real broken =
      GENERATE(std::numeric_limits<Real>::quiet_NaN(), std::numeric_limits<Real>::infinity());
  const std::size_t words = GENERATE(3, 40, 600);
  for (std::size_t at = 0; at < words; at += words / 3) {
    std::vector<Real> logits = testing::normal_values(words, 2, 1);
    logits[at] = broken;
    Subject s(set, logits);
    INFO(broken << " at " << at << " of " << words);
    CHECK(!std::isfinite(s.nats(1)));
  }
}

}  // namespace sluice::kernels
