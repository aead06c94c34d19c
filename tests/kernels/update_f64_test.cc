#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/kernels/update.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/tiny_model.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

using testing::WeightsBench;

struct Case {
  std::string name;
  UpdateRule rule;
};

// Ten steps of one array with the gradients of the file; the largest difference of any step.
double run(Backend& backend, WeightsBench& bench, const Case& c, const std::string& array) {
  const testing::Golden golden("optimizers");
  const std::vector<Real> start = golden.values("start." + array);
  const std::vector<Real> gradients = golden.values("grad." + array);
  const std::vector<Real> expected = golden.values(c.name + "." + array);
  const std::size_t size = start.size();
  bench.set_values(start);
  double worst = 0;
  for (std::size_t i = 0; i < 10; ++i) {
    UpdateRule rule = c.rule;
    rule.step = static_cast<std::int64_t>(i) + 1;
    if (i >= 5) rule.lr /= 2;
    // Half of the gradient, doubled by the rule's scale.
    std::vector<Real> gradient(size);
    for (std::size_t j = 0; j < size; ++j) gradient[j] = gradients[i * size + j] / 2;
    rule.scale = 2;
    bench.set_gradient(gradient);
    backend.update(bench.weights(), rule);
    worst = std::max(
        worst, testing::relative_difference(bench.read(Array::kValue, static_cast<Index>(size)),
                                            std::span(expected).subspan(i * size, size)));
  }
  return worst;
}

}  // namespace

TEST_CASE("Update: ten steps equal torch.optim's", "[kernels]") {
  const UpdateRule nag = {.kind = UpdateKind::kNag, .lr = 0.5, .momentum = 0.9};
  const UpdateRule adam = {
      .kind = UpdateKind::kAdamw, .lr = 0.02, .momentum = 0.9, .beta2 = 0.999, .eps = 1e-8};
  UpdateRule adamw = adam, adam_eps = adam;
  adamw.matrix_decay = 0.1;
  adam_eps.momentum = 0.8, adam_eps.beta2 = 0.95, adam_eps.eps = 1e-3;
  const UpdateRule momentum = {.kind = UpdateKind::kSgd, .lr = 0.5, .momentum = 0.9};
  const UpdateRule sgd = {.kind = UpdateKind::kSgd, .lr = 0.5};
  UpdateRule adam_l2 = adam;
  adam_l2.kind = UpdateKind::kAdam;
  UpdateRule plain_adam = adam_l2;
  adam_l2.matrix_decay = 0.01;
  const Case c =
      GENERATE_COPY(Case{"sgd", sgd}, Case{"sgd_momentum", momentum}, Case{"sgd_nesterov", nag},
                    Case{"adam", adam}, Case{"adam", plain_adam}, Case{"adam_l2", adam_l2},
                    Case{"adam_eps", adam_eps}, Case{"adamw", adamw});
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  INFO(name << ", " << c.name);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  WeightsBench table(*backend, TableShape{.rows = 3, .width = 4}, false);
  CHECK(run(*backend, table, c, "a") <= 1e-12);
  WeightsBench column(*backend, TableShape{.rows = 5, .width = 1}, false);
  CHECK(run(*backend, column, c, "b") <= 1e-12);
  WeightsBench product(*backend, ConvShape{.in = 3, .out = 4}, false);
  CHECK(run(*backend, product, c, "a") <= 1e-12);
}

TEST_CASE("Update: decay shrinks matrices or gains by its own rate, biases and v by the other",
          "[kernels]") {
  const bool weight_norm = GENERATE(false, true);
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  INFO(name << (weight_norm ? ", weight norm" : ""));
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const ConvShape shape = {.in = 3, .out = 2, .taps = 2};
  WeightsBench bench(*backend, shape, weight_norm);
  const std::vector<Real> v = testing::normal_values(12, 1, 1);
  std::fill_n(bench.g(Array::kValue), 2, Real(3));
  std::fill_n(bench.b(Array::kValue), 2, Real(5));
  bench.set_values(v);
  bench.set_gradient(std::vector<Real>(12));  // nothing but decay moves
  UpdateRule rule = {.kind = UpdateKind::kNag, .lr = 0.1};
  rule.matrix_decay = 0.5, rule.other_decay = 0.25;
  backend->update(bench.weights(), rule);
  const double matrix = 1 - 0.1 * 0.5, other = 1 - 0.1 * 0.25;
  std::vector<Real> expected = v;
  for (Real& value : expected) value *= weight_norm ? other : matrix;
  CHECK(testing::relative_difference(bench.read(Array::kValue, 12), expected) <= 1e-14);
  CHECK(bench.b(Array::kValue)[1] == Approx(5 * other).epsilon(1e-14));
  if (weight_norm) CHECK(bench.g(Array::kValue)[1] == Approx(3 * matrix).epsilon(1e-14));
}

TEST_CASE("Update: the squared norm is of the gradient before scaling", "[kernels]") {
  const testing::Golden golden("clip");
  const std::string side = GENERATE("above", "below");
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  WeightsBench a(*backend, TableShape{.rows = 3, .width = 4}, false);
  WeightsBench b(*backend, ConvShape{.in = 5, .out = 1}, false);
  a.set_gradient(golden.values(side + ".grad.a"));
  b.set_gradient(golden.values(side + ".grad.b"));
  const double norm =
      std::sqrt(backend->squared_norm(a.weights()) + backend->squared_norm(b.weights()));
  CHECK(norm == Approx(golden.scalar(side + ".total_norm")).epsilon(1e-12));
}

}  // namespace sluice::kernels
