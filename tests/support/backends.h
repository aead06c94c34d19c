#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "sluice/kernels/instruction_set.h"
#include "tests/support/blocked_backend.h"

namespace sluice::testing {

inline constexpr const char* kReference = "reference";
inline constexpr const char* kBlocked = "blocked";

// For GENERATE(from_range(...)). Those of the product that can run here, fastest first:
inline std::vector<std::string> product_backend_names() {
  std::vector<std::string> names;
  for (const kernels::InstructionSet set : kernels::supported_instruction_sets()) {
    names.emplace_back(kernels::name_of(set));
  }
  return names;
}
// ... and all that there are.
inline std::vector<std::string> backend_names() {
  std::vector<std::string> names = product_backend_names();
  names.emplace_back(kBlocked);
  return names;
}

inline std::unique_ptr<kernels::Backend> make_backend(const std::string& name, ThreadPool& pool) {
  for (const kernels::InstructionSet set : kernels::supported_instruction_sets()) {
    if (kernels::name_of(set) == name) return kernels::make_backend(pool, set);
  }
  if (name != kBlocked) throw std::invalid_argument("no backend " + name + " here");
  return make_blocked_backend();
}

}  // namespace sluice::testing
