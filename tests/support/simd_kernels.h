#pragma once

#include <vector>

#include "src/kernels/simd/kernels.h"

namespace sluice::testing {

// Of every instruction set that this build has and this CPU can run.
inline std::vector<const kernels::simd::Kernels*> simd_kernels() {
  using kernels::InstructionSet;
  std::vector<const kernels::simd::Kernels*> all;
  for (const auto set : {InstructionSet::kAvx2, InstructionSet::kAvx512, InstructionSet::kNeon}) {
    if (const auto* found = kernels::simd::find_kernels(set)) all.push_back(found);
  }
  return all;
}

}  // namespace sluice::testing
