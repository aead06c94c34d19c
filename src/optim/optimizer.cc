#include "sluice/optim/optimizer.h"

namespace sluice::optim {

kernels::UpdateKind update_kind(const OptimizerConfig& config) {
  return config.type == OptimizerType::kNag ? kernels::UpdateKind::kNag
                                            : kernels::UpdateKind::kAdamw;
}

int arrays_needed(const OptimizerConfig& config) {
  return 2 + kernels::states_of(update_kind(config));
}

double clip_factor(double norm, double max_norm) {
  if (max_norm == 0) return 1;
  const double factor = max_norm / (norm + 1e-6);
  return factor < 1 ? factor : 1;
}

kernels::UpdateRule update_rule(const OptimizerConfig& config, double lr, Index targets,
                                double grad_norm, std::int64_t update) {
  kernels::UpdateRule rule;
  rule.kind = update_kind(config);
  rule.lr = lr;
  rule.scale = clip_factor(grad_norm, config.clip_norm) / static_cast<double>(targets);
  rule.momentum = config.type == OptimizerType::kNag ? config.momentum : config.betas.at(0);
  rule.beta2 = config.type == OptimizerType::kNag ? 0 : config.betas.at(1);
  rule.eps = config.eps;
  rule.matrix_decay = config.weight_decay;
  rule.other_decay = config.decay == Decay::kAll ? config.weight_decay : 0;
  rule.step = update;
  return rule;
}

}  // namespace sluice::optim
