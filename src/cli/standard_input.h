#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::cli {

// All of standard input; Error kNoInput when it cannot be read, kBadData beyond max_bytes.
std::string read_standard_input(std::uint64_t max_bytes);

// Calls `visit` with the bytes of a file ("-": standard input; pipes too) as they come, in blocks.
// Error kNoInput.
void read_blocks(const std::string& file, const std::function<void(std::string_view)>& visit);

// Whether reading it never waits for somebody to write.
bool is_regular_input(const std::string& file);
// Standard input line by line, each as soon as it is there. Errors as above, per line.
class StandardInputLines {
 public:
  explicit StandardInputLines(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}
  // The next line without its LF, which the last one may lack; nothing at the end of the input.
  std::optional<std::string> next();

 private:
  std::uint64_t max_bytes_;
  std::string read_;  // and not yet returned
  bool ended_ = false;
};

}  // namespace sluice::cli
