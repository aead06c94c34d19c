#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "sluice/base/real.h"

namespace sluice::kernels {

// log sum of exp(z) of the rows of a softmax whose vocabulary is worked on in panels: what a panel
// leaves of each row (its largest logit, and in double the sum of its exp(z - largest)), merged
// into one maximum and one sum. Arrays over [panels, rows] have the rows of a panel side by side.
struct LogSums {
  std::vector<Real> panel_max;          // [panels, rows]
  std::vector<Real> target_logit, max;  // [rows]
  // log sum of exp(z - max), [rows]. Apart from max: their sum would lose it to a large maximum.
  std::vector<double> log_sum;

  void resize(Index rows, std::size_t panels);
  // Of one row; panel_sum: [panels, rows].
  void merge(Index row, std::span<const double> panel_sum);

  std::size_t at(std::size_t panel, Index row) const {
    return panel * max.size() + static_cast<std::size_t>(row);
  }
  double log_probability(Index row, Real logit) const {
    const auto i = static_cast<std::size_t>(row);
    return static_cast<double>(logit) - static_cast<double>(max[i]) - log_sum[i];
  }
  double target_log_probability(Index row) const {
    return log_probability(row, target_logit[static_cast<std::size_t>(row)]);
  }
  // What turns a panel's exp(z - panel_max) of a row into probabilities.
  Real panel_factor(std::size_t panel, Index row) const;
  std::size_t bytes() const;
};

}  // namespace sluice::kernels
