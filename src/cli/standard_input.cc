#include "src/cli/standard_input.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sluice/base/error.h"

namespace sluice::cli {
namespace {

// Appends what there is, waiting for it; false at the end.
bool read_some(std::string& to) {
  char block[1 << 16];
  ssize_t got = 0;
  do {
    got = ::read(STDIN_FILENO, block, sizeof block);
  } while (got < 0 && errno == EINTR);
  if (got < 0) throw Error(ExitCode::kNoInput, "standard input: {}", std::strerror(errno));
  to.append(block, static_cast<std::size_t>(got));
  return got > 0;
}

}  // namespace

std::string StandardInputLines::take(std::size_t length) {
  ++count_;
  if (length > max_bytes_) {
    throw Error(ExitCode::kBadData, "standard input: line {}: too long (expected at most {} bytes)",
                count_, max_bytes_);
  }
  std::string line = read_.substr(0, length);
  read_.erase(0, length + 1);
  return line;
}

std::optional<std::string> StandardInputLines::next() {
  for (std::size_t seen = 0;;) {
    const std::size_t end = read_.find('\n', seen);
    if (end != std::string::npos) return take(end);
    if (ended_ && read_.empty()) return std::nullopt;
    if (ended_ || read_.size() > max_bytes_) return take(read_.size());
    seen = read_.size();
    ended_ = !read_some(read_);
  }
}

}  // namespace sluice::cli
