#include <cassert>
#include <cmath>

#include "reference_backend.h"

namespace sluice::kernels::reference {
namespace {

// The arrays of one run of parameters.
struct Span {
  Real *p, *g, *s0, *s1, *average;
  Index size;
  Span(const Slices& slices, Index begin, Index length)
      : p(slices[Array::kValue] + begin),
        g(slices[Array::kGradient] + begin),
        s0(slices[Array::kState0] + begin),
        s1(optional(slices[Array::kState1], begin)),
        average(optional(slices[Array::kAverage], begin)),
        size(length) {}
  static Real* optional(Real* array, Index begin) {
    return array == nullptr ? nullptr : array + begin;
  }
};

void step_momentum(const UpdateRule& rule, Real shrink, const Real* g, Span span) {
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

void step_adam(const UpdateRule& rule, Real shrink, Real l2, const Real* g, Span span) {
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

// kernels/update.h for numbers p with the raw gradient g (which may be elsewhere than span.g).
void step(const UpdateRule& rule, double decay, const Real* g, Span span) {
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

constexpr Index kRun = 1 << 15;  // numbers per chunk

}  // namespace

void ReferenceBackend::refresh(Weights& weights) {
  weights.stale = false;
  if (weights.g() == nullptr) return;
  auto& w = static_cast<ProductWeights&>(weights);
  const Index columns = w.shape.columns();
  const Chunks rows = {w.shape.taps * w.shape.in, std::max<Index>(1, kRun / columns)};
  AlignedBuffer partial(rows.count() * columns);
  pool_.run(rows.count(), [&](Index chunk, int) {
    Row sum(partial.data() + chunk * columns, columns);
    for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      sum += ConstRow(w.v()[Array::kValue] + row * columns, columns).square();
    }
  });
  for (Index column = 0; column < columns; ++column) {
    double sum = 0;
    for (Index chunk = 0; chunk < rows.count(); ++chunk) {
      sum += partial.data()[chunk * columns + column];
    }
    const auto at = static_cast<std::size_t>(column);
    w.norm2[at] = std::max(sum, 1e-30);
    const double gain = floored((*w.g())[Array::kValue][column]);
    w.scale[at] = static_cast<Real>(gain / std::sqrt(w.norm2[at]));
  }
}

double ReferenceBackend::squared_norm(const Weights& weights) {
  const auto span_of = [&](const Slices& slices, Index size) {
    const Chunks chunks = {size, kRun};
    std::vector<double> partial(static_cast<std::size_t>(chunks.count()));
    pool_.run(chunks.count(), [&](Index chunk, int) {
      const Real* g = slices[Array::kGradient] + chunks.begin(chunk);
      // Short float sums, long double ones: exact enough, and vectorised.
      double total = 0;
      for (Index i = 0; i < chunks.length(chunk); i += 64) {
        const Index length = std::min<Index>(64, chunks.length(chunk) - i);
        total += static_cast<double>(ConstRow(g + i, length).square().sum());
      }
      partial[static_cast<std::size_t>(chunk)] = total;
    });
    double sum = 0;
    for (const double part : partial) sum += part;
    return sum;
  };
  double sum = 0;
  if (const auto* w = dynamic_cast<const ProductWeights*>(&weights)) {
    if (w->has_gradient) sum += span_of(w->v(), w->shape.elements());
    if (w->has_gradient && w->g() != nullptr) {
      for (std::size_t i = 0; i < w->dot.size(); ++i) sum -= w->dot[i] * w->dot[i] / w->norm2[i];
      sum = std::max(sum, 0.0) + span_of(*w->g(), w->shape.columns());
    }
    if (w->has_bias_gradient) sum += span_of(*w->b(), w->shape.columns());
  } else {
    const auto& t = static_cast<const TableWeights&>(weights);
    if (t.has_gradient) sum += span_of(t.v(), t.shape.elements());
    if (t.has_bias_gradient) sum += span_of(*t.b(), t.shape.rows);
  }
  return sum;
}

void ReferenceBackend::update(Weights& weights, const UpdateRule& rule) {
  assert(weights.has_gradient && (weights.b() == nullptr || weights.has_bias_gradient));
  const auto plain = [&](const Slices& slices, Index size, double decay) {
    const Chunks chunks = {size, kRun};
    pool_.run(chunks.count(), [&](Index chunk, int) {
      const Span span(slices, chunks.begin(chunk), chunks.length(chunk));
      step(rule, decay, span.g, span);
    });
  };
  if (auto* w = dynamic_cast<ProductWeights*>(&weights)) {
    if (w->g() != nullptr) {
      update_normed(*w, rule);
      plain(*w->g(), w->shape.columns(), rule.matrix_decay);
    } else {
      plain(w->v(), w->shape.elements(), rule.matrix_decay);
    }
    if (w->b() != nullptr) plain(*w->b(), w->shape.columns(), rule.other_decay);
  } else {
    const auto& t = static_cast<const TableWeights&>(weights);
    plain(t.v(), t.shape.elements(), rule.matrix_decay);
    if (t.b() != nullptr) plain(*t.b(), t.shape.rows, rule.other_decay);
  }
  discard_gradient(weights);
  refresh(weights);
}

// v under weight norm: its true gradient dw' - v (dw' . v) / |v|^2 is formed row by row.
void ReferenceBackend::update_normed(ProductWeights& w, const UpdateRule& rule) {
  const Index columns = w.shape.columns();
  const Chunks rows = {w.shape.taps * w.shape.in, std::max<Index>(1, kRun / columns)};
  AlignedBuffer share(columns);
  for (Index column = 0; column < columns; ++column) {
    const auto at = static_cast<std::size_t>(column);
    share.data()[column] = static_cast<Real>(w.dot[at] / w.norm2[at]);
  }
  pool_.run(rows.count(), [&](Index chunk, int) {
    for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      const Span span(w.v(), row * columns, columns);
      Row(span.g, columns) -= ConstRow(span.p, columns) * ConstRow(share.data(), columns);
      step(rule, rule.other_decay, span.g, span);
    }
  });
}

void ReferenceBackend::discard_gradient(Weights& weights) {
  weights.has_gradient = false;
  weights.has_bias_gradient = false;
}

}  // namespace sluice::kernels::reference
