#pragma once

#include "tests/support/blocked_layout.h"

// Norms on the blocked backend's memory, in double and straight from the equations of
// kernels/norm.h.
namespace sluice::testing::blocked {

void norm_forward(const Activations& x, const NormWeights& weights, Junction& out);
// Adds to gradients that hold numbers: of the weights, cleared or not.
void norm_backward(const Activations& x, const Activations& dz, NormWeights& weights,
                   Junction& below, Into into);

}  // namespace sluice::testing::blocked
