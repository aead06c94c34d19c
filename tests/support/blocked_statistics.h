#pragma once

#include <span>

#include "sluice/kernels/junction.h"
#include "sluice/kernels/statistics.h"

// Statistics of the blocked backend (blocked_backend.h).
namespace sluice::testing::blocked {

kernels::GateStatistics gate_statistics(const kernels::Junction& junction);
double squared_norm(const kernels::Activations& x);
// And of its penalty on activations, pair by pair.
void penalise(kernels::Junction& junction, std::span<const int> targets,
              const kernels::ActivationPenalty& penalty);

}  // namespace sluice::testing::blocked
