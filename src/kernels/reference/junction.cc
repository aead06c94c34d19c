// The element-wise work between two products, row by row.
#include <cassert>

#include "../written.h"
#include "gates.h"
#include "reference_backend.h"

namespace sluice::kernels::reference {
namespace {

// out = in with one row's mask applied; out may be in.
void apply_dropout(const Dropout& dropout, Position at, Index begin, Index end, const Real* in,
                   Real* out) {
  if (dropout.rate == 0) {
    if (out != in) std::copy(in, in + (end - begin), out);
    return;
  }
  const RowKey key = row_key(dropout, at.sequence, at.t);
  const std::uint32_t threshold = dropout_threshold(dropout.rate);
  const Real keep = static_cast<Real>(1 / (1 - dropout.rate));
  for (Index c = 0; c < end - begin; ++c) {
    const bool kept = channel_bits(key, static_cast<std::uint32_t>(begin + c)) >= threshold;
    out[c] = in[c] * (kept ? keep : Real(0));
  }
}

void scale_and_shift(const ProductWeights* weights, Index begin, Index end, Real* z) {
  if (weights == nullptr) return;
  Row row(z, end - begin);
  if (!weights->scale.empty()) row *= ConstRow(weights->scale.data() + begin, end - begin);
  if (weights->b() != nullptr) {
    row += ConstRow((*weights->b())[Array::kValue] + begin, end - begin);
  }
}

Real* optional_row(const Activations* x, Index row, Index begin) {
  return x == nullptr ? nullptr : rows_of(*x).row(row) + begin;
}

}  // namespace

RowJunction::RowJunction(const Junction& junction)
    : junction_(junction),
      producer_(static_cast<const ProductWeights*>(junction.producer)),
      residual_producer_(static_cast<const ProductWeights*>(junction.residual_producer)) {
  channels_ = junction.output().channels();
  shape_ = &rows_of(junction.output());
  assert(channels_ > 0);
  assert(producer_ == nullptr || !producer_->stale);
  assert(producer_ == nullptr || producer_->shape.columns() == columns());
}

void RowJunction::forward(Index row, Index begin, Index end, Real* a, Real* b) const {
  const Index n = end - begin;
  const Position at = shape_->position(row);
  scale_and_shift(producer_, begin, end, a);
  if (is_paired(junction_.gate) && producer_ != nullptr) {
    scale_and_shift(producer_, channels_ + begin, channels_ + end, b);
  }
  Real* saved = optional_row(junction_.saved, row, begin);
  Real* saved_second = saved != nullptr && is_paired(junction_.gate) ? saved + channels_ : nullptr;
  gate_forward(junction_.gate, n, a, b, saved, saved_second);
  Row y(a, n);
  if (Real* residual = optional_row(junction_.residual, row, begin)) {
    if (residual_producer_ != nullptr) scale_and_shift(residual_producer_, begin, end, residual);
    y += ConstRow(residual, n);
  }
  if (junction_.scale != 1) y *= junction_.scale;
  if (junction_.self.rate != 0) apply_dropout(junction_.self, at, begin, end, a, a);
  if (Real* out = optional_row(junction_.stream, row, begin)) std::copy(a, a + n, out);
  if (Real* out = optional_row(junction_.plain, row, begin)) std::copy(a, a + n, out);
  if (Real* out = optional_row(junction_.dropped, row, begin)) {
    apply_dropout(junction_.next, at, begin, end, a, out);
  }
}

void RowJunction::backward(Index row, const Real* product, Real* bias_sum, Real* residual_bias_sum,
                           Real* d) const {
  const Index n = channels_;
  const Position at = shape_->position(row);
  Row gradient(d, n);
  gradient = ConstRow(product, n);
  if (junction_.ddropped != nullptr && junction_.ddropped->written) {
    gradient += ConstRow(optional_row(junction_.ddropped, row, 0), n);
  }
  apply_dropout(junction_.next, at, 0, n, d, d);
  if (junction_.dy != nullptr && junction_.dy->written) {
    gradient += ConstRow(optional_row(junction_.dy, row, 0), n);
  }
  apply_dropout(junction_.self, at, 0, n, d, d);
  gradient *= junction_.scale;

  if (junction_.dresidual != nullptr) {
    Row out(optional_row(junction_.dresidual, row, 0), n);
    if (residual_producer_ != nullptr) {
      if (residual_bias_sum != nullptr) Row(residual_bias_sum, n) += gradient;
      out = gradient;
      if (!residual_producer_->scale.empty()) out *= ConstRow(residual_producer_->scale.data(), n);
    } else if (junction_.dresidual->written) {
      out += gradient;
    } else {
      out = gradient;
    }
  }
  gate_backward(row, d, bias_sum);
}

void RowJunction::gate_backward(Index row, const Real* d, Real* bias_sum) const {
  if (junction_.dz == nullptr) return;
  Real* dz = rows_of(*junction_.dz).row(row);
  const Real* saved = optional_row(junction_.saved, row, 0);
  reference::gate_backward(junction_.gate, channels_, d, saved,
                           is_paired(junction_.gate) ? saved + channels_ : nullptr, dz,
                           dz + channels_);
  Row all(dz, columns());
  if (bias_sum != nullptr) Row(bias_sum, columns()) += all;
  if (producer_ != nullptr && !producer_->scale.empty()) {
    all *= ConstRow(producer_->scale.data(), columns());
  }
}

void RowJunction::finish_forward() const { mark_forward(junction_); }

void RowJunction::finish_backward() const { mark_backward(junction_); }

void ReferenceBackend::backward_rows(Junction& below, Into into, const RowActivations& from,
                                     const RowProduct& product) {
  if (into == Into::kClose) {
    close_rows(below, product);
    return;
  }
  RowActivations& part = rows_of(*(into == Into::kDy ? below.dy : below.ddropped));
  const Index n = part.width();
  const bool scattered = from.selection() != part.selection();
  // A selection leaves rows out: these have a gradient of zero.
  if (scattered && !part.written) {
    const Chunks all = row_chunks(part.span());
    pool_.run(all.count(), [&](Index chunk, int) {
      std::fill(part.row(all.begin(chunk)), part.row(all.end(chunk)), Real(0));
    });
  }
  const bool add = scattered || part.written;
  const Chunks chunks = row_chunks(from.span());
  reserve_scratch(chunks.size * n);
  pool_.run(chunks.count(), [&](Index chunk, int worker) {
    Strided z(scratch(worker, chunks.size * n), chunks.length(chunk), n, Eigen::OuterStride<>(n));
    product(chunks.begin(chunk), z);
    for (Index i = 0; i < z.rows(); ++i) {
      const Index row = chunks.begin(chunk) + i;
      if (from.is_context(row)) continue;
      Row to(part.row(scattered ? part.row_of(from.position(row)) : row), n);
      if (add) {
        to += z.row(i).array();
      } else {
        to = z.row(i).array();
      }
    }
  });
  part.written = true;
}

void ReferenceBackend::close_rows(Junction& below, const RowProduct& product) {
  const RowJunction junction(below);
  const RowActivations& shape = rows_of(below.output());
  const Index n = junction.channels(), columns = junction.columns();
  const Chunks chunks = row_chunks(shape.span());
  const bool bias = below.producer != nullptr && below.producer->b() != nullptr;
  const bool residual_bias =
      below.residual_producer != nullptr && below.residual_producer->b() != nullptr;
  // Bias sums of each chunk, added in chunk order below.
  const Index sums = columns + n;
  AlignedBuffer partial(chunks.count() * sums);
  reserve_scratch(chunks.size * n + n);
  pool_.run(chunks.count(), [&](Index chunk, int worker) {
    Real* memory = scratch(worker, chunks.size * n + n);
    Strided z(memory, chunks.length(chunk), n, Eigen::OuterStride<>(n));
    product(chunks.begin(chunk), z);
    Real* bias_sum = partial.data() + chunk * sums;
    for (Index i = 0; i < z.rows(); ++i) {
      const Index row = chunks.begin(chunk) + i;
      if (shape.is_context(row)) continue;
      junction.backward(row, z.data() + i * n, bias ? bias_sum : nullptr,
                        residual_bias ? bias_sum + columns : nullptr, memory + chunks.size * n);
    }
  });
  const auto add = [&](Weights* weights, Index offset, Index count) {
    Row total((*weights->b())[Array::kGradient], count);
    if (!weights->has_bias_gradient) total.setZero();
    for (Index chunk = 0; chunk < chunks.count(); ++chunk) {
      total += ConstRow(partial.data() + chunk * sums + offset, count);
    }
    weights->has_bias_gradient = true;
  };
  if (bias) add(below.producer, 0, columns);
  if (residual_bias) add(below.residual_producer, columns, n);
  junction.finish_backward();
}

}  // namespace sluice::kernels::reference
