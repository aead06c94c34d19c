#pragma once

#include <cstdint>
#include <string>

namespace sluice::cli {

// All of standard input; Error kNoInput when it cannot be read, kBadData beyond max_bytes.
std::string read_standard_input(std::uint64_t max_bytes);

}  // namespace sluice::cli
