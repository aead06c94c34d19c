#pragma once

#include <cstdint>
#include <limits>

#include "sluice/optim/optim_config.h"

namespace sluice::optim {

// How validation losses have fared: what the plateau schedule and early stopping decide by. A loss
// improves on the best b when it is below b (1 - 1e-4); NaN never does. That rule, and what
// patience means, are torch.optim.lr_scheduler.ReduceLROnPlateau's (mode "min", "rel").
struct Plateau {
  double best = std::numeric_limits<double>::infinity();  // the last loss that improved
  std::int64_t stale = 0;                                 // losses since then
  std::int64_t waited = 0;  // losses since then, or since the rate fell if that was later
  double lr_scale = 1;      // factor^n, n how often the rate has fallen

  // Counts one more loss. Under the plateau schedule, `patience` losses in a row without
  // improvement are borne; the next one multiplies the rate by `factor`, and the wait begins anew.
  void add(double loss, const ScheduleConfig& schedule);
  bool operator==(const Plateau&) const = default;
};

// The peak learning rate that is left of `peak`: times lr_scale, but never under min_lr.
double peak_left(const Plateau& plateau, const ScheduleConfig& schedule, double peak);

}  // namespace sluice::optim
