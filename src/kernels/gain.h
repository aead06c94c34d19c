#pragma once

#include "sluice/base/real.h"

namespace sluice::kernels {

// Weight norm's gain with the floor that lets a zero gain move again.
inline Real floored(Real gain) {
  constexpr Real kFloor = Real(1e-20);
  if (gain >= 0) return gain < kFloor ? kFloor : gain;
  return gain > -kFloor ? -kFloor : gain;
}

}  // namespace sluice::kernels
