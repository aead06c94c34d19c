// Without vector instructions.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "sluice/kernels/exponentials.h"

namespace sluice::kernels {

TEST_CASE("exponentials: in double", "[kernels]") {
  const std::vector<Real> logs = {-3, -std::numeric_limits<Real>::infinity(), -1, -500};
  std::vector<Real> out(4, 7);
  CHECK(exponentials(logs, -1, 2, out) == Approx(1 + std::exp(-4.0)).epsilon(1e-14));
  CHECK(out[0] == Approx(std::exp(-4.0)).epsilon(1e-14));
  CHECK(out[1] == 0);
  CHECK(out[2] == 1);
  CHECK(out[3] == 0);
}

}  // namespace sluice::kernels
