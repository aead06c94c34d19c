#include "tests/support/blocked_junction.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace sluice::testing::blocked {
namespace {

void mask(const Dropout& dropout, const Activations& rows, Index s, Index t,
          std::vector<Real>& values) {
  if (dropout.rate == 0) return;
  const Index token = batch_token(rows, s, t), time = batch_time(rows);
  const RowKey key = row_key(dropout, token / time, token % time);
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

// dL/d[a | b] of one channel, by the chain rule on gate.h's equations.
std::pair<double, double> gate_gradient(Gate gate, double d, double s0, double s1) {
  const double root = std::sqrt(2.0), pi = 3.14159265358979323846;
  const double sigma = 1 / (1 + std::exp(-s1)), phi = std::exp(-s1 * s1 / 2) / std::sqrt(2 * pi);
  const double normal = std::erfc(-s1 / root) / 2;
  switch (gate) {
    case Gate::kLinear:
      return {d, 0};
    case Gate::kGlu:
      return {d * s1, d * s0 * (1 - s1)};
    case Gate::kGtu:
      return {d * (1 - s0 * s0) * s1, d * s0 * s1 * (1 - s1)};
    case Gate::kBilinear:
      return {d * s1, d * s0};
    case Gate::kSwiglu:
      return {d * s1 * sigma, d * s0 * (sigma + s1 * sigma * (1 - sigma))};
    case Gate::kGeglu:
      return {d * s1 * normal, d * s0 * (normal + s1 * phi)};
    case Gate::kReglu:
      return {s1 > 0 ? d * s1 : 0, s1 > 0 ? d * s0 : 0};
    case Gate::kRelu:
      return {s0 > 0 ? d : 0, 0};
    case Gate::kTanh:
      return {d * (1 - s0 * s0), 0};
  }
  return {};
}

// h of one channel, and what is saved of it.
double gate_value(Gate gate, double a, double b, std::pair<double, double>& saved) {
  const double sigma = 1 / (1 + std::exp(-b));
  saved = {a, b};
  switch (gate) {
    case Gate::kLinear:
      return a;
    case Gate::kGlu:
      saved = {a * sigma, sigma};
      return a * sigma;
    case Gate::kGtu:
      saved = {std::tanh(a), sigma};
      return std::tanh(a) * sigma;
    case Gate::kBilinear:
      return a * b;
    case Gate::kSwiglu:
      return a * b * sigma;
    case Gate::kGeglu:
      return a * b * std::erfc(-b / std::sqrt(2.0)) / 2;
    case Gate::kReglu:
      return a * std::max(b, 0.0);
    case Gate::kRelu:
      saved.first = std::max(a, 0.0);
      return saved.first;
    case Gate::kTanh:
      saved.first = std::tanh(a);
      return saved.first;
  }
  return 0;
}

void close_row(Junction& junction, Index s, Index t, std::vector<Real> d) {
  const Activations& rows = junction.output();
  add(junction.ddropped, s, t, d);
  mask(junction.next, rows, s, t, d);
  add(junction.dy, s, t, d);
  mask(junction.self, rows, s, t, d);
  for (Real& value : d) value *= junction.scale;
  if (junction.dresidual != nullptr) {
    std::vector<Real> residual = d;
    fold(junction.residual_producer, residual);
    if (junction.residual_producer == nullptr) add(junction.dresidual, s, t, residual);
    write(junction.dresidual, s, t, residual);
  }
  if (junction.dz == nullptr) return;
  const std::size_t n = d.size();
  std::vector<Real> dz(is_paired(junction.gate) ? 2 * n : n);
  const auto kept = static_cast<std::size_t>(saved_per_channel(junction.gate));
  for (std::size_t c = 0; c < n; ++c) {
    const auto saved = [&](std::size_t i) {
      if (i >= kept) return 0.0;
      return static_cast<double>(of(*junction.saved).at(s, t, static_cast<Index>(c * kept + i)));
    };
    const auto [da, db] =
        gate_gradient(junction.gate, static_cast<double>(d[c]), saved(0), saved(1));
    dz[c] = static_cast<Real>(da);
    if (is_paired(junction.gate)) dz[n + c] = static_cast<Real>(db);
  }
  fold(junction.producer, dz);
  write(junction.dz, s, t, dz);
}

}  // namespace

void forward_row(Junction& junction, Index s, Index t, std::vector<Real> z) {
  shift(junction.producer, z);
  const bool paired = is_paired(junction.gate);
  const auto kept = static_cast<std::size_t>(saved_per_channel(junction.gate));
  std::vector<Real> y(paired ? z.size() / 2 : z.size());
  for (std::size_t c = 0; c < y.size(); ++c) {
    std::pair<double, double> saved;
    const double b = paired ? static_cast<double>(z[y.size() + c]) : 0;
    y[c] = static_cast<Real>(gate_value(junction.gate, static_cast<double>(z[c]), b, saved));
    if (junction.saved == nullptr) continue;
    for (std::size_t i = 0; i < kept; ++i) {
      of(*junction.saved).at(s, t, static_cast<Index>(c * kept + i)) =
          static_cast<Real>(i == 0 ? saved.first : saved.second);
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
  const Activations& rows = junction.output();
  for (Real& value : y) value *= junction.scale;
  mask(junction.self, rows, s, t, y);
  write(junction.stream, s, t, y);
  write(junction.plain, s, t, y);
  mask(junction.next, rows, s, t, y);
  write(junction.dropped, s, t, y);
}

void backward_rows(Junction& below, Into into, const Activations& from, const RowGradient& row) {
  Activations* part = into == Into::kDy        ? below.dy
                      : into == Into::kDropped ? below.ddropped
                                               : nullptr;
  if (part == nullptr) prepare_bias(below);
  const auto channels =
      static_cast<std::size_t>(part != nullptr ? part->channels() : below.output().channels());
  const bool scattered = part != nullptr && from.selection() != part->selection();
  if (scattered && !part->written) {
    each_token(*part, [&](Index s, Index t, std::size_t) {
      write(part, s, t, std::vector<Real>(channels));
    });
    part->written = true;
  }
  each_token(from, [&](Index s, Index t, std::size_t) {
    std::vector<Real> dx(channels);
    row(s, t, dx);
    if (scattered) {
      const Index token = batch_token(from, s, t), time = part->map().time;
      add(part, token / time, token % time, dx);
      write(part, token / time, token % time, dx);
    } else if (part != nullptr) {
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
