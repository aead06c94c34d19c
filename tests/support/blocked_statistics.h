#pragma once

#include "sluice/kernels/junction.h"
#include "sluice/kernels/statistics.h"

// Statistics of the blocked backend (blocked_backend.h).
namespace sluice::testing::blocked {

kernels::GateStatistics gate_statistics(const kernels::Junction& junction);
double squared_norm(const kernels::Activations& x);

}  // namespace sluice::testing::blocked
