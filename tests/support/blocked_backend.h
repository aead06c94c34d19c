#pragma once

#include <memory>

#include "sluice/kernels/backend.h"

namespace sluice::testing {

// A second backend, to prove that no layer looks into memory: naive loops on layouts that share
// nothing with the reference. Activations: [sequence][block of 3 channels][row][3], saved values:
// those of a channel side by side; products: [column][tap, newest first][in, padded];
// tables: [block of 3][row][3]. All padding holds NaN.
std::unique_ptr<kernels::Backend> make_blocked_backend();

}  // namespace sluice::testing
