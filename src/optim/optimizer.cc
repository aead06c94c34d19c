#include "sluice/optim/optimizer.h"

#include <algorithm>

namespace sluice::optim {

kernels::UpdateKind update_kind(const OptimizerConfig& config) {
  switch (config.type) {
    case OptimizerType::kSgd:
      return kernels::UpdateKind::kSgd;
    case OptimizerType::kNag:
      return kernels::UpdateKind::kNag;
    case OptimizerType::kAdam:
      return kernels::UpdateKind::kAdam;
    case OptimizerType::kAdamw:
      break;
  }
  return kernels::UpdateKind::kAdamw;
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
  const bool adam = config.type == OptimizerType::kAdam || config.type == OptimizerType::kAdamw;
  rule.momentum = adam ? config.betas.at(0) : config.momentum;
  rule.beta2 = adam ? config.betas.at(1) : 0;
  rule.eps = config.eps;
  rule.matrix_decay = config.weight_decay;
  rule.other_decay = config.decay == Decay::kAll ? config.weight_decay : 0;
  rule.step = update;
  return rule;
}

double average_share(double decay, std::int64_t update) {
  const auto u = static_cast<double>(update);
  return 1 - std::min(decay, (1 + u) / (10 + u));
}

}  // namespace sluice::optim
