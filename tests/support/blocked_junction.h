#pragma once

#include <functional>
#include <vector>

#include "tests/support/blocked_layout.h"

// The work between two products, on the blocked backend's memory.
namespace sluice::testing::blocked {

// Token (s, t) of a junction; z: the product's columns, still to be scaled and shifted.
void forward_row(Junction& junction, Index s, Index t, std::vector<Real> z);

// A reader's gradient for every token: `row` adds it to a vector of zeros.
using RowGradient = std::function<void(Index s, Index t, std::vector<Real>& dx)>;
void backward_rows(Junction& below, Into into, const Activations& from, const RowGradient& row);

}  // namespace sluice::testing::blocked
