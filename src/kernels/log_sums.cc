#include "log_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice::kernels {

void LogSums::resize(Index rows, std::size_t panels) {
  const auto size = static_cast<std::size_t>(rows);
  panel_max.resize(panels * size);
  target_logit.resize(size);
  max.resize(size);
  log_sum.resize(size);
}

void LogSums::merge(Index row, std::span<const double> panel_sum) {
  const auto first = static_cast<std::size_t>(row), stride = max.size();
  Real largest = -std::numeric_limits<Real>::infinity();
  for (std::size_t i = first; i < panel_max.size(); i += stride) {
    largest = std::max(largest, panel_max[i]);
  }
  double sum = 0;
  for (std::size_t i = first; i < panel_max.size(); i += stride) {
    sum +=
        panel_sum[i] * std::exp(static_cast<double>(panel_max[i]) - static_cast<double>(largest));
  }
  max[first] = largest;
  log_sum[first] = std::log(sum);
}

Real LogSums::panel_factor(std::size_t panel, Index row) const {
  return static_cast<Real>(std::exp(log_probability(row, panel_max[at(panel, row)])));
}

std::size_t LogSums::bytes() const {
  return (panel_max.size() + target_logit.size() + max.size()) * sizeof(Real) +
         log_sum.size() * sizeof(double);
}

}  // namespace sluice::kernels
