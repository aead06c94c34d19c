// Norms over a token's channels. Sums are taken in double and in order, so that a row's bits do not
// depend on where it lies.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "reference_backend.h"

namespace sluice::kernels::reference {
namespace {

struct RowNorm {
  Real mean, inverse;  // x^ = (x - mean) * inverse
};

template <class Term>
double mean_of(Index n, const Term& term) {
  double sum = 0;
  for (Index c = 0; c < n; ++c) sum += static_cast<double>(term(c));
  return sum / static_cast<double>(n);
}

RowNorm row_norm(const NormShape& shape, const Real* x) {
  const double mean = shape.centred() ? mean_of(shape.channels, [&](Index c) { return x[c]; }) : 0;
  const double square = mean_of(shape.channels, [&](Index c) {
    const double centred = static_cast<double>(x[c]) - mean;
    return centred * centred;
  });
  return {static_cast<Real>(mean), static_cast<Real>(1 / std::sqrt(square + kNormEps))};
}

// dx of a row; adds to the gradients of gains and, if any, offsets.
void backward_row(const NormWeights& w, const Real* x, const Real* dz, Real* dgain, Real* doffset,
                  Real* dx) {
  const NormShape& shape = w.shape();
  const Index n = shape.channels;
  const Real* gain = w.v()[Array::kValue];
  const RowNorm row = row_norm(shape, x);
  const auto unit = [&](Index c) { return (x[c] - row.mean) * row.inverse; };
  for (Index c = 0; c < n; ++c) dgain[c] += dz[c] * unit(c);
  for (Index c = 0; doffset != nullptr && c < n; ++c) doffset[c] += dz[c];
  const Real along =
      static_cast<Real>(mean_of(n, [&](Index c) { return gain[c] * dz[c] * unit(c); }));
  const Real level =
      shape.centred() ? static_cast<Real>(mean_of(n, [&](Index c) { return gain[c] * dz[c]; })) : 0;
  for (Index c = 0; c < n; ++c) {
    dx[c] = row.inverse * (gain[c] * dz[c] - level - unit(c) * along);
  }
}

void add_gradient(const Slices& slices, const AlignedBuffer& partial, Index chunks, Index pitch,
                  Index offset, Index size, bool add) {
  Row total(slices[Array::kGradient], size);
  if (!add) total.setZero();
  for (Index chunk = 0; chunk < chunks; ++chunk) {
    total += ConstRow(partial.data() + chunk * pitch + offset, size);
  }
}

}  // namespace

void ReferenceBackend::norm_forward(const Activations& x, const NormWeights& w, Junction& out) {
  const RowActivations& in = rows_of(x);
  const Index n = w.shape().channels;
  assert(in.width() == n && out.output().channels() == n && out.producer == nullptr);
  const RowJunction junction(out);
  const Real* gain = w.v()[Array::kValue];
  const Real* offset = w.b() != nullptr ? (*w.b())[Array::kValue] : nullptr;
  const Chunks chunks = row_chunks(in.span());
  reserve_scratch(n);
  pool_.run(chunks.count(), [&](Index chunk, int worker) {
    Real* z = scratch(worker, n);
    for (Index row = chunks.begin(chunk); row < chunks.end(chunk); ++row) {
      if (in.is_context(row)) continue;
      const Real* from = in.row(row);
      const RowNorm norm = row_norm(w.shape(), from);
      for (Index c = 0; c < n; ++c) z[c] = (from[c] - norm.mean) * norm.inverse * gain[c];
      for (Index c = 0; offset != nullptr && c < n; ++c) z[c] += offset[c];
      junction.forward(row, 0, n, z, nullptr);
    }
  });
  junction.finish_forward();
}

void ReferenceBackend::norm_backward(const Activations& x, const Activations& dz, NormWeights& w,
                                     Junction& below, Into into) {
  const RowActivations &in = rows_of(x), &dout = rows_of(dz);
  const Index n = w.shape().channels;
  assert(in.width() == n && dout.width() == n && in.span() == dout.span());
  // Gradients of gains and offsets by chunk; context rows add nothing, their dz is zero.
  const Chunks chunks = row_chunks(dout.span());
  AlignedBuffer partial(chunks.count() * 2 * n);
  backward_rows(below, into, dout, [&](Index first, Strided out) {
    Real* sums = partial.data() + first / chunks.size * 2 * n;
    for (Index i = 0; i < out.rows(); ++i) {
      backward_row(w, in.row(first + i), dout.row(first + i), sums,
                   w.b() != nullptr ? sums + n : nullptr, out.data() + i * out.outerStride());
    }
  });
  add_gradient(w.v(), partial, chunks.count(), 2 * n, 0, n, w.has_gradient);
  w.has_gradient = true;
  if (w.b() == nullptr) return;
  add_gradient(*w.b(), partial, chunks.count(), 2 * n, n, n, w.has_bias_gradient);
  w.has_bias_gradient = true;
}

double ReferenceBackend::squared_norm_of(const NormWeights& w) {
  const Index n = w.shape().channels;
  return (w.has_gradient ? squared_norm_of(w.v(), n) : 0) +
         (w.has_bias_gradient ? squared_norm_of(*w.b(), n) : 0);
}

void ReferenceBackend::update_norm(NormWeights& w, const UpdateRule& rule) {
  const Index n = w.shape().channels;
  const auto step = [&](const Slices& slices, bool has_gradient) {
    if (!has_gradient) std::fill_n(slices[Array::kGradient], n, Real(0));
    update_plain(slices, n, rule, rule.other_decay);
  };
  step(w.v(), w.has_gradient);
  if (w.b() != nullptr) step(*w.b(), w.has_bias_gradient);
}

}  // namespace sluice::kernels::reference
