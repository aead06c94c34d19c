#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "sluice/base/real.h"

namespace sluice::testing {

// Largest |actual - expected|, relative to the largest |expected| (at least `floor`); infinite when
// sizes differ or a number is not finite.
inline double relative_difference(std::span<const Real> actual, std::span<const Real> expected,
                                  double floor = 1e-12) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (actual.size() != expected.size()) return kInfinite;
  double worst = 0, largest = floor;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = static_cast<double>(actual[i]) - static_cast<double>(expected[i]);
    if (!std::isfinite(difference)) return kInfinite;
    worst = std::max(worst, std::abs(difference));
    largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return worst / largest;
}

}  // namespace sluice::testing
