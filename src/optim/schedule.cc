#include "sluice/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sluice::optim {

double learning_rate(const ScheduleConfig& config, double peak, double progress) {
  progress = std::clamp(progress, 0.0, 1.0);
  if (progress < config.warmup) return peak * progress / config.warmup;
  const double rest = (progress - config.warmup) / (1 - config.warmup);
  switch (config.type) {
    case ScheduleType::kConstant:
      return peak;
    case ScheduleType::kCosine:
      return config.min_lr + (peak - config.min_lr) * (1 + std::cos(std::numbers::pi * rest)) / 2;
  }
  return peak;
}

}  // namespace sluice::optim
