#include "src/kernels/vector_backend.h"

#include "src/kernels/simd/kernels.h"
#include "src/kernels/simd/simd_backend.h"

namespace sluice::kernels {

bool has_vector_kernels(InstructionSet set) { return simd::find_kernels(set) != nullptr; }

std::unique_ptr<Backend> make_vector_backend(ThreadPool& pool, InstructionSet set,
                                             Precision precision, RowUpdates updates) {
  const simd::Kernels& kernels = *simd::find_kernels(set);
  if (precision == Precision::kF32) return simd::make_simd_backend(pool, kernels, updates);
  const simd::TileKernels& tiles =
      set == InstructionSet::kAmx ? *simd::find_amx_kernels() : kernels.tiles;
  return simd::make_tile_backend(pool, kernels, tiles, precision, updates);
}

VectorExponentials vector_exponentials(InstructionSet set) {
  const simd::Kernels* kernels = simd::find_kernels(set);
  return kernels == nullptr ? nullptr : kernels->tempered;
}

}  // namespace sluice::kernels
