#pragma once

#include <memory>
#include <string>

#include "tests/support/blocked_backend.h"

namespace sluice::testing {

// For GENERATE: every backend that a test of an operation runs on.
inline constexpr const char* kReference = "reference";
inline constexpr const char* kBlocked = "blocked";

inline std::unique_ptr<kernels::Backend> make_backend(const std::string& name, ThreadPool& pool) {
  return name == kBlocked ? make_blocked_backend() : kernels::make_reference_backend(pool);
}

}  // namespace sluice::testing
