#include "tests/support/blocked_norm.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "tests/support/blocked_junction.h"

namespace sluice::testing::blocked {
namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// x^ of a token, and what it was multiplied by.
struct Unit {
  std::vector<double> values;
  double inverse = 0;
};

Unit unit_of(const NormShape& shape, const Activations& x, Index s, Index t) {
  Unit unit;
  for (Index c = 0; c < shape.channels; ++c) {
    unit.values.push_back(static_cast<double>(of(x).at(s, t, c)));
  }
  const double level = shape.kind == NormKind::kLayer ? mean(unit.values) : 0;
  std::vector<double> squares;
  for (double& value : unit.values) {
    value -= level;
    squares.push_back(value * value);
  }
  unit.inverse = std::pow(mean(squares) + 1e-5, -0.5);
  for (double& value : unit.values) value *= unit.inverse;
  return unit;
}

}  // namespace

void norm_forward(const Activations& x, const NormWeights& weights, Junction& out) {
  each_token(x, [&](Index s, Index t, std::size_t) {
    std::vector<Real> z;
    for (const double value : unit_of(weights.shape(), x, s, t).values) {
      const std::size_t c = z.size();
      z.push_back(static_cast<Real>(value) * weights.v()[Array::kValue][c]);
      if (weights.b() != nullptr) z.back() += (*weights.b())[Array::kValue][c];
    }
    forward_row(out, s, t, std::move(z));
  });
}

void norm_backward(const Activations& x, const Activations& dz, NormWeights& weights,
                   Junction& below, Into into) {
  backward_rows(below, into, dz, [&](Index s, Index t, std::vector<Real>& dx) {
    const Unit unit = unit_of(weights.shape(), x, s, t);
    std::vector<double> u, along;
    for (std::size_t c = 0; c < dx.size(); ++c) {
      const Real dy = of(dz).at(s, t, static_cast<Index>(c));
      weights.v()[Array::kGradient][c] += dy * static_cast<Real>(unit.values[c]);
      if (weights.b() != nullptr) (*weights.b())[Array::kGradient][c] += dy;
      u.push_back(static_cast<double>(dy * weights.v()[Array::kValue][c]));
      along.push_back(u.back() * unit.values[c]);
    }
    const double level = weights.shape().kind == NormKind::kLayer ? mean(u) : 0;
    for (std::size_t c = 0; c < dx.size(); ++c) {
      dx[c] += static_cast<Real>(unit.inverse * (u[c] - level - unit.values[c] * mean(along)));
    }
  });
}

}  // namespace sluice::testing::blocked
