#include "step.h"

#include <cmath>

namespace sluice::kernels::reference {
namespace {

void step_momentum(const UpdateRule& rule, Real shrink, const Real* g, const Span& span) {
  const Real lr = static_cast<Real>(rule.lr), scale = static_cast<Real>(rule.scale);
  const Real mu = static_cast<Real>(rule.momentum);
  if (rule.kind == UpdateKind::kSgd) {
    for (Index i = 0; i < span.size; ++i) {
      span.s0[i] = mu * span.s0[i] + scale * g[i];
      span.p[i] = span.p[i] * shrink - lr * span.s0[i];
    }
    return;
  }
  for (Index i = 0; i < span.size; ++i) {
    const Real gradient = scale * g[i];
    span.s0[i] = mu * span.s0[i] + gradient;
    span.p[i] = span.p[i] * shrink - lr * (gradient + mu * span.s0[i]);
  }
}

void step_adam(const UpdateRule& rule, Real shrink, Real l2, const Real* g, const Span& span) {
  const double t = static_cast<double>(rule.step);
  const Real beta1 = static_cast<Real>(rule.momentum);
  const Real rest1 = static_cast<Real>(1 - rule.momentum);
  const Real beta2 = static_cast<Real>(rule.beta2), rest2 = static_cast<Real>(1 - rule.beta2);
  const Real step_size = static_cast<Real>(rule.lr / (1 - std::pow(rule.momentum, t)));
  const Real root = static_cast<Real>(1 / std::sqrt(1 - std::pow(rule.beta2, t)));
  const Real eps = static_cast<Real>(rule.eps), scale = static_cast<Real>(rule.scale);
  for (Index i = 0; i < span.size; ++i) {
    const Real gradient = scale * g[i] + l2 * span.p[i];
    span.s0[i] = beta1 * span.s0[i] + rest1 * gradient;
    span.s1[i] = beta2 * span.s1[i] + rest2 * gradient * gradient;
    span.p[i] = span.p[i] * shrink - step_size * span.s0[i] / (std::sqrt(span.s1[i]) * root + eps);
  }
}

}  // namespace

void step(const UpdateRule& rule, double decay, const Real* g, const Span& span) {
  const Real shrink = static_cast<Real>(1 - rule.lr * decay);
  if (rule.kind == UpdateKind::kSgd || rule.kind == UpdateKind::kNag) {
    step_momentum(rule, shrink, g, span);
  } else if (rule.kind == UpdateKind::kAdam) {
    step_adam(rule, 1, static_cast<Real>(decay), g, span);
  } else {
    step_adam(rule, shrink, 0, g, span);
  }
  if (span.average == nullptr) return;
  const Real share = static_cast<Real>(rule.average);
  for (Index i = 0; i < span.size; ++i) span.average[i] += share * (span.p[i] - span.average[i]);
}

}  // namespace sluice::kernels::reference
