#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::cli {

// Standard input line by line, each as soon as it is there. Error kNoInput when it cannot be read,
// kBadData when a line has more than max_bytes.
class StandardInputLines {
 public:
  explicit StandardInputLines(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}
  // The next line without its LF, which the last one may lack; nothing at the end of the input.
  std::optional<std::string> next();
  // How many lines there were: the number of the last.
  std::uint64_t count() const { return count_; }

 private:
  // Takes so many bytes, and its LF if there is one behind them.
  std::string take(std::size_t length);

  std::uint64_t max_bytes_;
  std::uint64_t count_ = 0;
  std::string read_;  // and not yet returned
  bool ended_ = false;
};

}  // namespace sluice::cli
