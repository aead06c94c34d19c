// The penalty on activations against differences of its own formula.
#include <catch2/catch.hpp>

#include "tests/support/backends.h"
#include "tests/support/gradient_check.h"
#include "tests/support/tiny_model.h"

namespace sluice::kernels {
namespace {

constexpr RowMap kMap = {.sequences = 2, .time = 4, .context = 1};
constexpr Index kChannels = 5;
constexpr std::size_t kSize = 2 * 4 * 5;
// The second sequence has pairs without a first, without a second and without both.
const std::vector<int> kTargets = {3, 0, 7, 1, -1, 2, -1, -1};

// What is added to the sum of nats (kernels/junction.h).
double penalty_of(const ActivationPenalty& penalty, std::span<const Real> dropped,
                  std::span<const Real> y) {
  double sum = 0;
  for (std::size_t token = 0; token < kTargets.size(); ++token) {
    if (kTargets[token] < 0) continue;
    const bool changes = token % 4 != 3 && kTargets[token + 1] >= 0;
    for (std::size_t c = 0; c < 5; ++c) {
      const double h = dropped[token * 5 + c];
      sum += penalty.activation * h * h / 5;
      if (!changes) continue;
      const double change = y[(token + 1) * 5 + c] - y[token * 5 + c];
      sum += penalty.change * change * change / 5;
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("penalise: gradients are those of the formula, before and behind the mask", "[kernels]") {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  const bool masked = GENERATE(false, true), adds = GENERATE(false, true);
  const ActivationPenalty penalty =
      GENERATE(ActivationPenalty{2, 0}, ActivationPenalty{0, 1.5}, ActivationPenalty{2, 1.5});
  INFO(name << ", masked " << masked << ", adds " << adds << ", " << penalty.activation << ", "
            << penalty.change);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const auto make = [&](Form form) { return backend->activations(kMap, kChannels, form); };
  const auto dropped = make(Form::kOperand), plain = make(Form::kOperand);
  const auto dy = make(Form::kGradient), ddropped = make(Form::kGradient);
  Junction junction;
  junction.next.rate = masked ? 0.5 : 0;
  junction.dropped = dropped.get();
  junction.ddropped = ddropped.get();
  if (masked) {
    junction.plain = plain.get();
    junction.dy = dy.get();
  }
  const std::vector<Real> h = testing::normal_values(kSize, 1, 1);
  const std::vector<Real> y = masked ? testing::normal_values(kSize, 2, 1) : h;
  const std::vector<Real> before = testing::normal_values(kSize, 3, 1);
  backend->load(*dropped, h);
  backend->load(*plain, y);
  for (Activations* gradient : {dy.get(), ddropped.get()}) {
    backend->load(*gradient, before);
    gradient->written = adds;
  }
  backend->penalise(junction, kTargets, penalty);
  // What was added to an array; nothing where nobody wrote.
  const auto added = [&](const Activations& gradient) {
    std::vector<Real> values(kSize);
    if (!gradient.written) return values;
    backend->store(gradient, values);
    for (std::size_t i = 0; adds && i < kSize; ++i) values[i] -= before[i];
    return values;
  };
  CHECK(ddropped->written == (adds || penalty.activation > 0 || !masked));
  CHECK(dy->written == (adds || (penalty.change > 0 && masked)));
  std::vector<Real> now = h, y_now = y;
  testing::GradientMismatch worst = testing::check_array(
      "dropped", h, added(*ddropped),
      [&](std::span<const Real> values) { now.assign(values.begin(), values.end()); },
      [&] { return penalty_of(penalty, now, masked ? y : now); });
  if (masked) {
    worst.merge(testing::check_array(
        "y", y, added(*dy),
        [&](std::span<const Real> values) { y_now.assign(values.begin(), values.end()); },
        [&] { return penalty_of(penalty, h, y_now); }));
  }
  INFO(worst.where << ": " << worst.analytic << " against " << worst.numeric);
  CHECK(worst.largest > 0.01);
  CHECK(worst.error <= 1e-6);
}

}  // namespace sluice::kernels
