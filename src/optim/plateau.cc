#include "sluice/optim/plateau.h"

#include <algorithm>

namespace sluice::optim {

constexpr double kThreshold = 1e-4;

void Plateau::add(double loss, const ScheduleConfig& schedule) {
  if (loss < best * (1 - kThreshold)) {
    best = loss;
    stale = waited = 0;
    return;
  }
  ++stale;
  if (schedule.type != ScheduleType::kPlateau || ++waited <= schedule.patience) return;
  lr_scale *= schedule.factor;
  waited = 0;
}

double peak_left(const Plateau& plateau, const ScheduleConfig& schedule, double peak) {
  return std::max(peak * plateau.lr_scale, std::min(schedule.min_lr, peak));
}

}  // namespace sluice::optim
