#pragma once

#include "sluice/optim/optim_config.h"

namespace sluice::optim {

// Learning rate at `progress` in [0, 1]: a linear rise from 0 over the first `warmup` of the run,
// then, with q the progress after the warm-up as a part of what is left,
//   constant, plateau: peak (what a plateau has done is in the peak: optim/plateau.h)
//   linear:       min_lr + (peak - min_lr) (1 - q)
//   cosine:       min_lr + (peak - min_lr) (1 + cos(pi q)) / 2
//                 (Loshchilov and Hutter 2017, eq. 5, one period)
//   inverse_sqrt: peak sqrt(warmup / progress) (Vaswani et al. 2017, section 5.3); needs a warm-up
//   steps:        peak factor^n, n the milestones that progress has reached
// and never less than min_lr once the warm-up is over, unless the peak is.
double learning_rate(const ScheduleConfig& config, double peak, double progress);

}  // namespace sluice::optim
