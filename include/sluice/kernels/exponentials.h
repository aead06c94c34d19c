#pragma once

#include <span>

#include "sluice/base/real.h"

namespace sluice::kernels {

// out[i] = exp((logs[i] - shift) * factor), but at most 1, and 0 below about 1e-38: for logs that
// exceed the shift by rounding only. Returns their sum. By the vector instructions of
// chosen_instruction_set(), on one thread.
double exponentials(std::span<const Real> logs, Real shift, Real factor, std::span<Real> out);

}  // namespace sluice::kernels
