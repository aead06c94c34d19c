#include "../vector_backend.h"

#include <cassert>

namespace sluice::kernels {

bool has_vector_kernels(InstructionSet) { return false; }

std::unique_ptr<Backend> make_vector_backend(ThreadPool&, InstructionSet, Precision, RowUpdates) {
  assert(false);
  return nullptr;
}

VectorExponentials vector_exponentials(InstructionSet) { return nullptr; }

}  // namespace sluice::kernels
