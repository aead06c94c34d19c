#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace sluice {

// What the process exits with (README, "Exit codes"); sysexits.h numbers where one fits.
enum class ExitCode : int {
  kDone = 0,
  kUsage = 2,        // command line or config
  kBadData = 65,     // data, model or tokenizer file
  kNoInput = 66,     // an input cannot be read
  kInternal = 70,    // a bug of ours
  kNoResource = 71,  // memory or threads
  kExists = 73,      // output exists, or the run is locked
  kOutput = 74,      // output could not be written
  kStopped = 75,     // stopped on request, saved, can be resumed
  kDiverged = 76,    // too many non-finite steps in a row
};

// Anything a user can cause or must know. The text is one line without the leading "error: ":
//   PATH: offset N: WHAT (expected X, found Y); hint
// Libraries throw it; only main() catches, prints and exits.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& text) : std::runtime_error(text), code_(code) {}

  template <class First, class... Rest>
  Error(ExitCode code, fmt::format_string<First, Rest...> format, First&& first, Rest&&... rest)
      : Error(code, fmt::format(format, std::forward<First>(first), std::forward<Rest>(rest)...)) {}

  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

}  // namespace sluice
