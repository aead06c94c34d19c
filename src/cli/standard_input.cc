#include "src/cli/standard_input.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sluice/base/error.h"

namespace sluice::cli {

std::string read_standard_input(std::uint64_t max_bytes) {
  std::string all;
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, block, sizeof block);
    if (got == 0) return all;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(ExitCode::kNoInput, "standard input: {}", std::strerror(errno));
    all.append(block, static_cast<std::size_t>(got));
    if (all.size() > max_bytes) {
      throw Error(ExitCode::kBadData, "standard input: too long (expected at most {} bytes)",
                  max_bytes);
    }
  }
}

}  // namespace sluice::cli
