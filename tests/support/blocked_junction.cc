#include "tests/support/blocked_junction.h"

#include <algorithm>
#include <cmath>

namespace sluice::testing::blocked {
namespace {

void mask(const Dropout& dropout, Index s, Index t, std::vector<Real>& values) {
  if (dropout.rate == 0) return;
  const RowKey key = row_key(dropout.key, dropout.first_sequence + static_cast<std::uint64_t>(s),
                             static_cast<std::uint64_t>(t));
  for (std::size_t c = 0; c < values.size(); ++c) {
    const bool kept =
        channel_bits(key, static_cast<std::uint32_t>(c)) >= dropout_threshold(dropout.rate);
    values[c] = kept ? values[c] / static_cast<Real>(1 - dropout.rate) : 0;
  }
}

// z: the product's columns, still to be scaled and shifted.
void shift(const Weights* weights, std::vector<Real>& z) {
  if (weights == nullptr) return;
  for (std::size_t c = 0; c < z.size(); ++c) {
    const auto column = static_cast<Index>(c);
    z[c] *= product_of(weights)->scale(column);
    if (weights->b() != nullptr) z[c] += (*weights->b())[Array::kValue][column];
  }
}

void write(Activations* to, Index s, Index t, const std::vector<Real>& values) {
  if (to == nullptr) return;
  for (std::size_t c = 0; c < values.size(); ++c) {
    of(*to).at(s, t, static_cast<Index>(c)) = values[c];
  }
}

void add(const Activations* from, Index s, Index t, std::vector<Real>& values) {
  if (from == nullptr || !from->written) return;
  for (std::size_t c = 0; c < values.size(); ++c) {
    values[c] += of(*from).at(s, t, static_cast<Index>(c));
  }
}

void prepare_bias(const Junction& junction) {
  for (Weights* weights : {junction.producer, junction.residual_producer}) {
    if (weights == nullptr || weights->b() == nullptr || weights->has_bias_gradient) continue;
    std::fill_n((*weights->b())[Array::kGradient], product_of(weights)->shape.columns(), Real(0));
    weights->has_bias_gradient = true;
  }
}

// Adds dz to the bias gradient and folds the scale in.
void fold(Weights* weights, std::vector<Real>& dz) {
  if (weights == nullptr) return;
  for (std::size_t c = 0; c < dz.size(); ++c) {
    const auto column = static_cast<Index>(c);
    if (weights->b() != nullptr) (*weights->b())[Array::kGradient][column] += dz[c];
    dz[c] *= product_of(weights)->scale(column);
  }
}

void close_row(Junction& junction, Index s, Index t, std::vector<Real> d) {
  add(junction.ddropped, s, t, d);
  mask(junction.next, s, t, d);
  add(junction.dy, s, t, d);
  mask(junction.self, s, t, d);
  for (Real& value : d) value *= junction.scale;
  if (junction.dresidual != nullptr) {
    std::vector<Real> residual = d;
    fold(junction.residual_producer, residual);
    if (junction.residual_producer == nullptr) add(junction.dresidual, s, t, residual);
    write(junction.dresidual, s, t, residual);
  }
  if (junction.dz == nullptr) return;
  std::vector<Real> dz = d;
  if (junction.gate == Gate::kGlu) {
    dz.resize(2 * d.size());
    for (std::size_t c = 0; c < d.size(); ++c) {
      const Real a = of(*junction.saved).at(s, t, static_cast<Index>(2 * c));
      const Real sigma = of(*junction.saved).at(s, t, static_cast<Index>(2 * c + 1));
      dz[c] = d[c] * sigma;
      dz[d.size() + c] = d[c] * a * sigma * (1 - sigma);
    }
  }
  fold(junction.producer, dz);
  write(junction.dz, s, t, dz);
}

}  // namespace

void forward_row(Junction& junction, Index s, Index t, std::vector<Real> z) {
  shift(junction.producer, z);
  std::vector<Real> y = z;
  if (junction.gate == Gate::kGlu) {
    y.resize(z.size() / 2);
    for (std::size_t c = 0; c < y.size(); ++c) {
      const Real sigma = 1 / (1 + std::exp(-z[y.size() + c]));
      if (junction.saved != nullptr) {
        of(*junction.saved).at(s, t, static_cast<Index>(2 * c)) = z[c];
        of(*junction.saved).at(s, t, static_cast<Index>(2 * c + 1)) = sigma;
      }
      y[c] = z[c] * sigma;
    }
  }
  if (junction.residual != nullptr) {
    std::vector<Real> residual(y.size());
    for (std::size_t c = 0; c < y.size(); ++c) {
      residual[c] = of(*junction.residual).at(s, t, static_cast<Index>(c));
    }
    shift(junction.residual_producer, residual);
    for (std::size_t c = 0; c < y.size(); ++c) y[c] += residual[c];
  }
  for (Real& value : y) value *= junction.scale;
  mask(junction.self, s, t, y);
  write(junction.stream, s, t, y);
  write(junction.plain, s, t, y);
  mask(junction.next, s, t, y);
  write(junction.dropped, s, t, y);
}

void backward_rows(Junction& below, Into into, const RowMap& map, const RowGradient& row) {
  Activations* part = into == Into::kDy        ? below.dy
                      : into == Into::kDropped ? below.ddropped
                                               : nullptr;
  if (part == nullptr) prepare_bias(below);
  const auto channels =
      static_cast<std::size_t>(part != nullptr ? part->channels() : below.dropped->channels());
  each_token(map, [&](Index s, Index t, std::size_t) {
    std::vector<Real> dx(channels);
    row(s, t, dx);
    if (part != nullptr) {
      add(part, s, t, dx);
      write(part, s, t, dx);
    } else {
      close_row(below, s, t, std::move(dx));
    }
  });
  if (part != nullptr) {
    part->written = true;
    return;
  }
  for (Activations* used : {below.dy, below.ddropped}) {
    if (used != nullptr) used->written = false;
  }
  for (Activations* made : {below.dresidual, below.dz}) {
    if (made != nullptr) made->written = true;
  }
}

}  // namespace sluice::testing::blocked
