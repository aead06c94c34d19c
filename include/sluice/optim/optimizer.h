#pragma once

#include <cstdint>

#include "sluice/kernels/update.h"
#include "sluice/optim/optim_config.h"

namespace sluice::optim {

kernels::UpdateKind update_kind(const OptimizerConfig& config);

// min(1, max_norm / (norm + 1e-6)), torch.nn.utils.clip_grad_norm_'s form; 1 when max_norm is 0.
double clip_factor(double norm, double max_norm);

// The step that divides a summed gradient by its target count, clips it and applies the optimiser.
// grad_norm: global L2 norm per target, before the clip. update: 1 for the first applied step.
kernels::UpdateRule update_rule(const OptimizerConfig& config, double lr, Index targets,
                                double grad_norm, std::int64_t update);

// The share of the new weights in their moving average at an update (1 for the first applied one):
//   1 - min(decay, (1 + update) / (10 + update))
// Early averages are short, so that the initial values are soon forgotten; tf.train's
// ExponentialMovingAverage with num_updates.
double average_share(double decay, std::int64_t update);

}  // namespace sluice::optim
