#pragma once

#include "sluice/base/real.h"
#include "sluice/kernels/gate.h"

namespace sluice::kernels::reference {

// One row of n channels through a gate. In: a (for an unpaired gate: z) and b; out: h in a, b is
// overwritten, and in s0, s1 what backward needs (kernels/gate.h; null: nothing is kept).
void gate_forward(Gate gate, Index n, Real* a, Real* b, Real* s0, Real* s1);

// dL/da and dL/db (of an unpaired gate: dL/dz in da) from d = dL/dh.
void gate_backward(Gate gate, Index n, const Real* d, const Real* s0, const Real* s1, Real* da,
                   Real* db);

}  // namespace sluice::kernels::reference
