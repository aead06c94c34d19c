#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "sluice/kernels/backend.h"

// Memory of the blocked backend (blocked_backend.h).
namespace sluice::testing::blocked {

using namespace kernels;  // NOLINT: these types implement that namespace's interface

inline constexpr Index kBlock = 3;
inline constexpr Real kPadding = std::numeric_limits<Real>::quiet_NaN();

inline Index padded(Index channels) { return (channels + kBlock - 1) / kBlock * kBlock; }

class BlockedActivations : public Activations {
 public:
  // From a RowMap or a Selection.
  template <class Rows>
  BlockedActivations(const Rows& rows, Index channels, Form form)
      : Activations(rows, channels, form),
        data_(static_cast<std::size_t>(map().sequences * pitch() * padded(channels)), kPadding) {
    each([&](Index s, Index t) {
      for (Index c = 0; c < width(); ++c) at(s, t, c) = 0;
    });
  }
  void reshape(const RowMap& map) {
    set_map(map);
    std::fill(data_.begin(), data_.end(), kPadding);
    each([&](Index s, Index t) {
      for (Index c = 0; t < 0 && c < width(); ++c) at(s, t, c) = 0;
    });
  }
  Index width() const { return channels(); }
  // t from -context; what a gate saves of one channel lies side by side.
  Real& at(Index s, Index t, Index c) const {
    const Index block = c / kBlock, row = t + map().context;
    const Index blocks = padded(width()) / kBlock;
    return data_[static_cast<std::size_t>(((s * blocks + block) * pitch() + row) * kBlock +
                                          c % kBlock)];
  }

 private:
  Index pitch() const { return map().context + map().time; }
  void each(const std::function<void(Index, Index)>& visit) const {
    for (Index s = 0; s < map().sequences; ++s) {
      for (Index t = -map().context; t < map().time; ++t) visit(s, t);
    }
  }

  mutable std::vector<Real> data_;
};

inline BlockedActivations& of(Activations& x) { return static_cast<BlockedActivations&>(x); }
inline const BlockedActivations& of(const Activations& x) {
  return static_cast<const BlockedActivations&>(x);
}

// Tokens of a batch, or of a selection those that it has now.
template <class Visit>
void each_token(const Activations& x, const Visit& visit) {
  const Index time = x.map().time;
  for (Index token = 0; token < x.tokens(); ++token) {
    visit(token / time, token % time, static_cast<std::size_t>(token));
  }
}

// Number of a row's token in the whole batch.
inline Index batch_token(const Activations& x, Index s, Index t) {
  if (x.selection() == nullptr) return s * x.map().time + t;
  return x.selection()->tokens[static_cast<std::size_t>(t)];
}
inline Index batch_time(const Activations& x) {
  return x.selection() == nullptr ? x.map().time : x.selection()->source.time;
}

struct BlockedProduct : Weights {
  BlockedProduct(const ConvShape& conv, const Slices& v, const Slices* g, const Slices* b)
      : Weights(v, g, b), shape(conv), norm2(static_cast<std::size_t>(conv.columns())) {}
  static Index stored(const ConvShape& s) { return s.columns() * s.taps * padded(s.in); }
  Real& at(Array array, Index tap, Index in, Index column) const {
    return v()[array][(column * shape.taps + shape.taps - 1 - tap) * padded(shape.in) + in];
  }
  template <class Visit>
  void each(const Visit& visit) const {
    for (Index tap = 0; tap < shape.taps; ++tap) {
      for (Index in = 0; in < shape.in; ++in) {
        for (Index column = 0; column < shape.columns(); ++column) visit(tap, in, column);
      }
    }
  }
  void set_norms() {
    if (g() == nullptr) return;
    std::fill(norm2.begin(), norm2.end(), 0);
    each([&](Index tap, Index in, Index column) {
      const double value = static_cast<double>(at(Array::kValue, tap, in, column));
      norm2[static_cast<std::size_t>(column)] += value * value;
    });
  }
  double gain(Index column) const {
    const double value = (*g())[Array::kValue][column];
    return std::copysign(std::max(std::abs(value), 1e-20), value);
  }
  Real scale(Index column) const {
    const double keep = drop.keep();
    if (g() == nullptr) return static_cast<Real>(keep);
    return static_cast<Real>(gain(column) / std::sqrt(norm2[static_cast<std::size_t>(column)]) *
                             keep);
  }
  // 0 of weights that are dropped; the rest is in the scale.
  Real mask(Index tap, Index in, Index column) const {
    if (drop.rate == 0) return 1;
    const RowKey key =
        row_key(drop.key, static_cast<std::uint64_t>(tap), static_cast<std::uint64_t>(in));
    const bool kept =
        channel_bits(key, static_cast<std::uint32_t>(column)) >= dropout_threshold(drop.rate);
    return kept ? Real(1) : Real(0);
  }
  // dw' . v
  double dot(Index column) const {
    double sum = 0;
    for (Index tap = 0; tap < shape.taps; ++tap) {
      for (Index in = 0; in < shape.in; ++in) {
        sum += static_cast<double>(at(Array::kGradient, tap, in, column)) *
               static_cast<double>(at(Array::kValue, tap, in, column));
      }
    }
    return sum;
  }
  std::vector<double> true_shares() const {
    std::vector<double> shares(norm2.size());
    if (g() == nullptr) return shares;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      shares[i] = dot(static_cast<Index>(i)) / norm2[i];
    }
    return shares;
  }

  ConvShape shape;
  std::vector<double> norm2;
  WeightDrop drop;
};

struct BlockedTable : Weights {
  BlockedTable(const TableShape& table, const Slices& v, const Slices* g, const Slices* b)
      : Weights(v, g, b), shape(table) {}
  static Index stored(const TableShape& s) { return s.rows * padded(s.width); }
  Real& at(Array array, Index row, Index c) const {
    return v()[array][(c / kBlock * shape.rows + row) * kBlock + c % kBlock];
  }
  // Sum over a row of one array times the values; of the values themselves: |v|^2.
  double dot(Array array, Index row) const {
    double sum = 0;
    for (Index c = 0; c < shape.width; ++c) {
      sum +=
          static_cast<double>(at(array, row, c)) * static_cast<double>(at(Array::kValue, row, c));
    }
    return sum;
  }
  Real scale(Index row) const {
    if (g() == nullptr) return 1;
    return static_cast<Real>(static_cast<double>((*g())[Array::kValue][row]) /
                             std::sqrt(dot(Array::kValue, row)));
  }
  // dL/dv from the stored dw'.
  double true_gradient(Index row, Index c) const {
    const double stored = static_cast<double>(at(Array::kGradient, row, c));
    if (g() == nullptr) return stored;
    return stored - static_cast<double>(at(Array::kValue, row, c)) * dot(Array::kGradient, row) /
                        dot(Array::kValue, row);
  }
  TableShape shape;
};

inline void narrow_values(Weights& weights, WeightFormat format) {
  if (dynamic_cast<const NormWeights*>(&weights) != nullptr) return;
  if (const auto* w = dynamic_cast<const BlockedProduct*>(&weights)) {
    for (Index channel = 0; channel < w->shape.columns(); ++channel) {
      narrow_channel(format, [&](const auto& visit) {
        w->each([&](Index tap, Index in, Index column) {
          if (column == channel) visit(w->at(Array::kValue, tap, in, column));
        });
      });
    }
    return;
  }
  const auto& w = static_cast<const BlockedTable&>(weights);
  for (Index row = 0; row < w.shape.rows; ++row) {
    narrow_channel(format, [&](const auto& visit) {
      for (Index c = 0; c < w.shape.width; ++c) visit(w.at(Array::kValue, row, c));
    });
  }
}

inline const BlockedProduct* product_of(const Weights* weights) {
  return static_cast<const BlockedProduct*>(weights);
}

}  // namespace sluice::testing::blocked
