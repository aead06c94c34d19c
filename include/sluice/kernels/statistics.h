#pragma once

#include <cmath>
#include <numbers>

#include "sluice/base/real.h"
#include "sluice/kernels/gate.h"

namespace sluice::kernels {

// How far the gates of a layer stood open, over all its units (tokens times channels).
struct GateStatistics {
  double sum = 0;        // of openness()
  double saturated = 0;  // units for which is_saturated()
  double units = 0;      // 0: a gate that nothing opens or closes
};

// Whether a gate has something that opens and closes: not linear, not bilinear.
constexpr bool has_openness(Gate gate) { return gate != Gate::kLinear && gate != Gate::kBilinear; }

// Of one unit, from what its gate saved (kernels/gate.h): sigma(b) of glu, gtu and swiglu, Phi(b)
// of geglu; 1 or 0 for open and closed units of reglu and relu; |h| of tanh.
inline Real openness(Gate gate, Real first, Real second) {
  switch (gate) {
    case Gate::kGlu:
    case Gate::kGtu:
      return second;
    case Gate::kSwiglu:
      return 1 / (1 + std::exp(-second));
    case Gate::kGeglu:
      return std::erfc(-second / std::numbers::sqrt2_v<Real>) / 2;
    case Gate::kReglu:
      return second > 0 ? Real(1) : Real(0);
    case Gate::kRelu:
      return first > 0 ? Real(1) : Real(0);
    case Gate::kTanh:
      return std::abs(first);
    default:
      return 0;
  }
}

// Where next to no gradient passes: a sigma or Phi outside (0.05, 0.95), a rectifier that is
// closed, a tanh beyond 0.95.
inline bool is_saturated(Gate gate, Real open) {
  if (gate == Gate::kReglu || gate == Gate::kRelu) return open == 0;
  return open > Real(0.95) || (gate != Gate::kTanh && open < Real(0.05));
}

}  // namespace sluice::kernels
