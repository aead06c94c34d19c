#include "src/cli/standard_input.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::cli {
namespace {

// Appends what there is, waiting for it; false at the end.
bool read_some(std::string& to, std::uint64_t max_bytes) {
  char block[1 << 16];
  ssize_t got = 0;
  do {
    got = ::read(STDIN_FILENO, block, sizeof block);
  } while (got < 0 && errno == EINTR);
  if (got < 0) throw Error(ExitCode::kNoInput, "standard input: {}", std::strerror(errno));
  to.append(block, static_cast<std::size_t>(got));
  if (to.size() > max_bytes) {
    throw Error(ExitCode::kBadData, "standard input: too long (expected at most {} bytes)",
                max_bytes);
  }
  return got > 0;
}

}  // namespace

std::string read_standard_input(std::uint64_t max_bytes) {
  std::string all;
  while (read_some(all, max_bytes)) continue;
  return all;
}

std::optional<std::string> StandardInputLines::next() {
  for (std::size_t seen = 0;;) {
    const std::size_t end = read_.find('\n', seen);
    if (end != std::string::npos) {
      std::string line = read_.substr(0, end);
      read_.erase(0, end + 1);
      return line;
    }
    if (ended_ && read_.empty()) return std::nullopt;
    if (ended_) return std::exchange(read_, "");
    seen = read_.size();
    ended_ = !read_some(read_, max_bytes_);
  }
}

}  // namespace sluice::cli
