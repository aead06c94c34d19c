#pragma once

#include <string>

namespace sluice::testing {

// The root of this source tree. In a file of its own: the path is no part of how the other tests
// are compiled, so that a compiler cache serves every clone.
std::string source_dir();

}  // namespace sluice::testing
