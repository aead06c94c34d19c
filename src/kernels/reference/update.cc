#include <cassert>
#include <cmath>

#include "reference_backend.h"
#include "step.h"

namespace sluice::kernels::reference {
namespace {

// Short float sums, long double ones: exact enough, and vectorised.
double sum_of_squares(const Real* values, Index size) {
  double total = 0;
  for (Index i = 0; i < size; i += 64) {
    const Index length = std::min<Index>(64, size - i);
    total += static_cast<double>(ConstRow(values + i, length).square().sum());
  }
  return total;
}

void set_scale(const Slices& g, std::size_t at, double norm2, std::vector<double>& norms,
               std::vector<Real>& scale) {
  norms[at] = std::max(norm2, 1e-30);
  const double gain = static_cast<double>(floored(g[Array::kValue][at]));
  scale[at] = static_cast<Real>(gain / std::sqrt(norms[at]));
}

}  // namespace

void ReferenceBackend::refresh(Weights& weights) {
  weights.stale = false;
  auto* product = dynamic_cast<ProductWeights*>(&weights);
  if (product != nullptr) product->drop = {};
  if (weights.g() == nullptr) {
    if (product != nullptr) product->scale.clear();
  } else if (product != nullptr) {
    refresh_product(*product);
  } else {
    refresh_table(static_cast<TableWeights&>(weights));
  }
}

void ReferenceBackend::narrow(Weights& weights, WeightFormat format) {
  catch_up(weights);
  if (dynamic_cast<const NormWeights*>(&weights) != nullptr) return refresh(weights);
  Real* v = weights.v()[Array::kValue];
  // Numbers of a channel lie `step` apart.
  const auto channel = [&](Index first, Index count, Index step) {
    narrow_channel(format, [&](const auto& visit) {
      for (Index i = 0; i < count; ++i) visit(v[first + i * step]);
    });
  };
  if (const auto* product = dynamic_cast<const ProductWeights*>(&weights)) {
    const ConvShape& shape = product->shape;
    pool_.run(shape.columns(),
              [&](Index column, int) { channel(column, shape.taps * shape.in, shape.columns()); });
  } else {
    const TableShape& shape = static_cast<const TableWeights&>(weights).shape;
    pool_.run(shape.rows, [&](Index row, int) { channel(row * shape.width, shape.width, 1); });
  }
  refresh(weights);
}

void ReferenceBackend::refresh_product(ProductWeights& w) {
  const Index columns = w.shape.columns();
  const Chunks rows = row_runs(w.shape.taps * w.shape.in, columns);
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
      sum += static_cast<double>(partial.data()[chunk * columns + column]);
    }
    set_scale(*w.g(), static_cast<std::size_t>(column), sum, w.norm2, w.scale);
  }
}

void ReferenceBackend::refresh_table(TableWeights& w) {
  const Index width = w.shape.width;
  const Chunks rows = row_runs(w.shape.rows, width);
  pool_.run(rows.count(), [&](Index chunk, int) {
    for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      const double sum = sum_of_squares(w.v()[Array::kValue] + row * width, width);
      set_scale(*w.g(), static_cast<std::size_t>(row), sum, w.norm2, w.scale);
    }
  });
}

double ReferenceBackend::squared_norm_of(const Slices& slices, Index size) {
  const Chunks chunks = {size, kRun};
  std::vector<double> partial(static_cast<std::size_t>(chunks.count()));
  pool_.run(chunks.count(), [&](Index chunk, int) {
    partial[static_cast<std::size_t>(chunk)] =
        sum_of_squares(slices[Array::kGradient] + chunks.begin(chunk), chunks.length(chunk));
  });
  double sum = 0;
  for (const double part : partial) sum += part;
  return sum;
}

double ReferenceBackend::squared_norm(const Weights& weights) {
  if (const auto* w = dynamic_cast<const ProductWeights*>(&weights)) {
    double sum = 0;
    if (w->has_gradient) sum += squared_norm_of(w->v(), w->shape.elements());
    if (w->has_gradient && w->g() != nullptr) {
      sum = std::max(sum - radial_part(w->dot, w->norm2), 0.0) +
            squared_norm_of(*w->g(), w->shape.columns());
    }
    if (w->has_bias_gradient) sum += squared_norm_of(*w->b(), w->shape.columns());
    return sum;
  }
  if (const auto* norm = dynamic_cast<const NormWeights*>(&weights)) return squared_norm_of(*norm);
  const auto& w = static_cast<const TableWeights&>(weights);
  const Index width = w.shape.width;
  const Chunks rows = row_runs(w.shape.rows, width);
  std::vector<double> partial(static_cast<std::size_t>(rows.count()));
  pool_.run(rows.count(), [&](Index chunk, int) {
    double total = 0;
    for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      const auto at = static_cast<std::size_t>(row);
      if (!w.ledger.has_gradient(row)) continue;
      double square = sum_of_squares(w.v()[Array::kGradient] + row * width, width);
      if (w.g() != nullptr) {
        const double gain = static_cast<double>((*w.g())[Array::kGradient][row]);
        square = std::max(square - w.dot[at] * w.dot[at] / w.norm2[at], 0.0) + gain * gain;
      }
      total += square;
    }
    partial[static_cast<std::size_t>(chunk)] = total;
  });
  double sum = 0;
  for (const double part : partial) sum += part;
  if (w.has_bias_gradient) sum += squared_norm_of(*w.b(), w.shape.rows);
  return sum;
}

void ReferenceBackend::update(Weights& weights, const UpdateRule& rule) {
  if (auto* product = dynamic_cast<ProductWeights*>(&weights)) {
    product->drop = {};  // refresh() below does the rest
    update_product(*product, rule);
  } else if (auto* norm = dynamic_cast<NormWeights*>(&weights)) {
    update_norm(*norm, rule);
  } else {
    update_table(static_cast<TableWeights&>(weights), rule);
  }
  discard_gradient(weights);
  refresh(weights);
}

void ReferenceBackend::update_plain(const Slices& slices, Index size, const UpdateRule& rule,
                                    double decay) {
  const Chunks chunks = {size, kRun};
  pool_.run(chunks.count(), [&](Index chunk, int) {
    const Span span(slices, chunks.begin(chunk), chunks.length(chunk));
    step(rule, decay, span.g, span);
  });
}

void ReferenceBackend::update_product(ProductWeights& w, const UpdateRule& rule) {
  const Index columns = w.shape.columns();
  if (!w.has_gradient) {
    std::fill_n(w.v()[Array::kGradient], w.shape.elements(), Real(0));
    if (w.g() != nullptr) std::fill_n((*w.g())[Array::kGradient], columns, Real(0));
    std::fill(w.dot.begin(), w.dot.end(), 0);
  }
  if (w.b() != nullptr) {
    if (!w.has_bias_gradient) std::fill_n((*w.b())[Array::kGradient], columns, Real(0));
    update_plain(*w.b(), columns, rule, rule.other_decay);
  }
  if (w.g() == nullptr) {
    update_plain(w.v(), w.shape.elements(), rule, rule.matrix_decay);
    return;
  }
  // v under weight norm: its true gradient dw' - v (dw' . v) / |v|^2 is formed row by row.
  const Chunks rows = row_runs(w.shape.taps * w.shape.in, columns);
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
  update_plain(*w.g(), columns, rule, rule.matrix_decay);
}

void ReferenceBackend::discard_gradient(Weights& weights) {
  weights.has_gradient = false;
  weights.has_bias_gradient = false;
  if (auto* table = dynamic_cast<TableWeights*>(&weights)) {
    table->ledger.forget_gradients();
  } else if (auto* product = dynamic_cast<ProductWeights*>(&weights)) {
    drop(*product, {});
  }
}

}  // namespace sluice::kernels::reference
