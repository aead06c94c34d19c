#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace sluice::cli {

// Calls `visit` with the bytes of a file ("-": standard input; pipes too) as they come, in blocks.
// Error kNoInput.
void read_blocks(const std::string& file, const std::function<void(std::string_view)>& visit);

// All of it; Error kBadData beyond max_bytes.
std::string read_input(const std::string& file, std::uint64_t max_bytes);

// Whether reading it never waits for somebody to write.
bool is_regular_input(const std::string& file);

}  // namespace sluice::cli
