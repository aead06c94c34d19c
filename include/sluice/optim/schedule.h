#pragma once

#include "sluice/optim/optim_config.h"

namespace sluice::optim {

// Learning rate at `progress` in [0, 1]: a linear rise from 0 over the first `warmup` of the run,
// then
//   constant: peak
//   cosine:   min_lr + (peak - min_lr) (1 + cos(pi q)) / 2, q the progress after the warm-up
//             (Loshchilov and Hutter 2017, eq. 5, one period)
double learning_rate(const ScheduleConfig& config, double peak, double progress);

}  // namespace sluice::optim
