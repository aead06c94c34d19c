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
  BlockedActivations(const RowMap& map, Index channels, Form form)
      : Activations(map, channels, form),
        width_(form == Form::kSaved ? 2 * channels : channels),
        data_(static_cast<std::size_t>(map.sequences * pitch() * padded(width_)), kPadding) {
    each([&](Index s, Index t) {
      for (Index c = 0; c < width_; ++c) at(s, t, c) = 0;
    });
  }
  Index width() const { return width_; }
  // t from -context; for kSaved c = 2 channel (a) or 2 channel + 1 (sigma).
  Real& at(Index s, Index t, Index c) const {
    const Index block = c / kBlock, row = t + map().context;
    const Index blocks = padded(width_) / kBlock;
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

  Index width_;
  mutable std::vector<Real> data_;
};

inline BlockedActivations& of(Activations& x) { return static_cast<BlockedActivations&>(x); }
inline const BlockedActivations& of(const Activations& x) {
  return static_cast<const BlockedActivations&>(x);
}

template <class Visit>
void each_token(const RowMap& map, const Visit& visit) {
  for (Index s = 0; s < map.sequences; ++s) {
    for (Index t = 0; t < map.time; ++t) visit(s, t, static_cast<std::size_t>(s * map.time + t));
  }
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
  double gain(Index column) const {
    const double value = (*g())[Array::kValue][column];
    return std::copysign(std::max(std::abs(value), 1e-20), value);
  }
  Real scale(Index column) const {
    if (g() == nullptr) return 1;
    return static_cast<Real>(gain(column) / std::sqrt(norm2[static_cast<std::size_t>(column)]));
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
};

struct BlockedTable : Weights {
  BlockedTable(const TableShape& table, const Slices& v, const Slices* b)
      : Weights(v, nullptr, b), shape(table) {}
  static Index stored(const TableShape& s) { return s.rows * padded(s.width); }
  Real& at(Array array, Index row, Index c) const {
    return v()[array][(c / kBlock * shape.rows + row) * kBlock + c % kBlock];
  }
  TableShape shape;
};

inline const BlockedProduct* product_of(const Weights* weights) {
  return static_cast<const BlockedProduct*>(weights);
}

}  // namespace sluice::testing::blocked
