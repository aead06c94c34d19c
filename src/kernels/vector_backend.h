#pragma once

#include <memory>

#include "sluice/kernels/backend.h"
#include "sluice/kernels/instruction_set.h"

namespace sluice::kernels {

// The backends for vector instructions, as the choice among all of them sees them. They compute in
// float: the product is built with simd/vector_backend.cc, the double twin with no_simd/.
//
// Whether this build has kernels for the set and this CPU can run them; never for kReference.
bool has_vector_kernels(InstructionSet set);
// Only for those.
std::unique_ptr<Backend> make_vector_backend(ThreadPool& pool, InstructionSet set,
                                             Precision precision, RowUpdates updates);
// exponentials() (sluice/kernels/exponentials.h) of a set; null: it has none.
using VectorExponentials = double (*)(const Real* logs, Index size, Real shift, Real factor,
                                      Real* out);
VectorExponentials vector_exponentials(InstructionSet set);

}  // namespace sluice::kernels
