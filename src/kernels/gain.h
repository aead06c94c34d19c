#pragma once

#include <span>

#include "sluice/base/real.h"

namespace sluice::kernels {

// Weight norm's gain with the floor that lets a zero gain move again.
inline Real floored(Real gain) {
  constexpr Real kFloor = Real(1e-20);
  if (gain >= 0) return gain < kFloor ? kFloor : gain;
  return gain > -kFloor ? -kFloor : gain;
}

// What |dL/dv|^2 has less than |dw'|^2: sum of (dw' . v)^2 / |v|^2 over the columns.
inline double radial_part(std::span<const double> dot, std::span<const double> norm2) {
  double sum = 0;
  for (std::size_t i = 0; i < dot.size(); ++i) {
    if (norm2[i] > 0) sum += dot[i] * dot[i] / norm2[i];
  }
  return sum;
}

}  // namespace sluice::kernels
