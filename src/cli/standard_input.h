#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::cli {

// All of standard input; Error kNoInput when it cannot be read, kBadData beyond max_bytes.
std::string read_standard_input(std::uint64_t max_bytes);

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
