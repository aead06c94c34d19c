#include "sluice/model/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sluice/base/random.h"

namespace sluice::model {

int Sampler::draw(std::span<const Real> log_probabilities) {
  const auto more_probable = [&](int a, int b) {
    const Real p = log_probabilities[static_cast<std::size_t>(a)];
    const Real q = log_probabilities[static_cast<std::size_t>(b)];
    return p != q ? p > q : a < b;
  };
  ranked_.resize(log_probabilities.size());
  std::iota(ranked_.begin(), ranked_.end(), 0);
  if (options_.temperature == 0) {
    return *std::min_element(ranked_.begin(), ranked_.end(), more_probable);
  }
  const bool all = options_.top_k == 0 && options_.top_p >= 1;
  std::size_t kept = ranked_.size();
  if (options_.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(options_.top_k));
  if (!all) {
    const auto end = ranked_.begin() + static_cast<std::ptrdiff_t>(kept);
    std::partial_sort(ranked_.begin(), end, ranked_.end(), more_probable);
    ranked_.resize(kept);
  }
  const auto log_p = [&](std::size_t rank) {
    return static_cast<double>(log_probabilities[static_cast<std::size_t>(ranked_[rank])]);
  };
  if (options_.top_p < 1) {
    double mass = 0, total = 0;
    for (std::size_t i = 0; i < kept; ++i) total += std::exp(log_p(i));
    std::size_t enough = 0;
    while (enough < kept && (enough == 0 || mass < options_.top_p * total)) {
      mass += std::exp(log_p(enough++));
    }
    ranked_.resize(kept = enough);
  }
  weights_.resize(kept);
  double peak = log_p(0), total = 0;
  for (std::size_t i = 0; i < kept; ++i) peak = std::max(peak, log_p(i));
  for (std::size_t i = 0; i < kept; ++i) {
    weights_[i] = std::exp((log_p(i) - peak) / options_.temperature);
    total += weights_[i];
  }
  double rest = uniform_at(derive_key(options_.seed, "sample"), draws_++) * total;
  for (std::size_t i = 0; i < kept; ++i) {
    rest -= weights_[i];
    if (rest < 0) return ranked_[i];
  }
  // Rounding left a sliver behind the last word.
  return ranked_[kept - 1];
}

}  // namespace sluice::model
