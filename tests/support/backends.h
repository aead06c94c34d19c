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

// Those whose products narrow their operands, "SET PRECISION", of one precision.
inline std::vector<std::string> narrowing_backend_names(kernels::Precision precision) {
  std::vector<std::string> names;
  for (const std::string& set : product_backend_names()) {
    if (set != kReference) names.push_back(set + " " + std::string(name_of(precision)));
  }
  return names;
}

inline std::unique_ptr<kernels::Backend> make_backend(const std::string& name, ThreadPool& pool) {
  using kernels::Precision;
  for (const kernels::InstructionSet set : kernels::supported_instruction_sets()) {
    const std::string known(kernels::name_of(set));
    if (known == name) return kernels::make_backend(pool, set);
    for (const Precision precision : {Precision::kBf16, Precision::kBf16x3}) {
      if (name == known + " " + std::string(name_of(precision))) {
        return kernels::make_backend(pool, set, precision);
      }
    }
  }
  if (name != kBlocked) throw std::invalid_argument("no backend " + name + " here");
  return make_blocked_backend();
}

}  // namespace sluice::testing
