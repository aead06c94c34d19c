#include "sluice/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sluice::optim {

double learning_rate(const ScheduleConfig& config, double peak, double progress) {
  progress = std::clamp(progress, 0.0, 1.0);
  if (progress < config.warmup) return peak * progress / config.warmup;
  const double rest = (progress - config.warmup) / (1 - config.warmup);
  double lr = peak;
  switch (config.type) {
    case ScheduleType::kConstant:
    case ScheduleType::kPlateau:
      break;
    case ScheduleType::kLinear:
      lr = config.min_lr + (peak - config.min_lr) * (1 - rest);
      break;
    case ScheduleType::kCosine:
      lr = config.min_lr + (peak - config.min_lr) * (1 + std::cos(std::numbers::pi * rest)) / 2;
      break;
    case ScheduleType::kInverseSqrt:
      lr = peak * std::sqrt(config.warmup / progress);
      break;
    case ScheduleType::kSteps:
      for (const double milestone : config.milestones) {
        if (progress >= milestone) lr *= config.factor;
      }
      break;
  }
  return std::max(lr, std::min(config.min_lr, peak));
}

}  // namespace sluice::optim
