#include "sluice/kernels/exponentials.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "src/kernels/vector_backend.h"
#include "tests/support/tiny_model.h"

namespace sluice::kernels {
namespace {

std::vector<Real> some_logs(std::size_t size) {
  std::vector<Real> logs = testing::normal_values(size, 1, 15);
  for (Real& log : logs) log = std::min(log, Real(-0.5));
  return logs;
}

// As exponentials() does with this set.
double run(InstructionSet set, std::span<const Real> logs, Real shift, Real factor,
           std::span<Real> out) {
  return vector_exponentials(set)(logs.data(), static_cast<Index>(logs.size()), shift, factor,
                                  out.data());
}

template <class Check>
void each_set(const Check& check) {
  check([](auto... arguments) { return exponentials(arguments...); });
  for (const InstructionSet set : supported_instruction_sets()) {
    if (vector_exponentials(set) == nullptr) continue;
    INFO(name_of(set));
    check([&](auto... arguments) { return run(set, arguments...); });
  }
}

TEST_CASE("exponentials: those of double, and their sum, whatever the size", "[kernels]") {
  each_set([](const auto& compute) {
    for (const std::size_t size : {1u, 15u, 16u, 17u, 64u, 255u, 256u}) {
      const std::vector<Real> logs = some_logs(size);
      std::vector<Real> out(size + 1, 7);
      const double sum =
          compute(std::span<const Real>(logs), Real(-0.5), Real(1.25), std::span(out).first(size));
      double expected = 0, worst = 0;
      for (std::size_t i = 0; i < size; ++i) {
        const double e = std::exp((static_cast<double>(logs[i]) + 0.5) * 1.25);
        expected += e;
        worst = std::max(worst, std::abs(static_cast<double>(out[i]) / e - 1));
      }
      INFO(size);
      CHECK(worst < 1e-5);  // of an argument of 80, half of the last place
      CHECK(sum == Approx(expected).epsilon(1e-6));
      CHECK(out[size] == 7);
    }
  });
}

TEST_CASE("exponentials: nothing of what is impossible, no more than 1 of the largest",
          "[kernels]") {
  each_set([](const auto& compute) {
    constexpr Real kNever = -std::numeric_limits<Real>::infinity();
    const std::vector<Real> logs = {kNever, -1, -1.0000001F, -90, -0.9999999F};
    std::vector<Real> out(5, 7);
    const auto run_all = [&](Real factor) {
      return compute(std::span<const Real>(logs), Real(-1), factor, std::span(out));
    };
    CHECK(run_all(1) == Approx(3));
    CHECK(out[0] == 0);
    CHECK(out[1] == 1);
    CHECK(out[3] == 0);
    CHECK(run_all(1e30F) == 2);
    CHECK(out == std::vector<Real>{0, 1, 0, 0, 1});
  });
}

}  // namespace
}  // namespace sluice::kernels
