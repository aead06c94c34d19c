#include "src/cli/standard_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::cli {
namespace {

constexpr std::size_t kBlock = 1 << 16;

// The next bytes of a descriptor, waiting for them; none at the end.
std::string_view read_block(int descriptor, const std::string& name, std::span<char> buffer) {
  for (;;) {
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got >= 0) return {buffer.data(), static_cast<std::size_t>(got)};
    if (errno != EINTR) throw Error(ExitCode::kNoInput, "{}: {}", name, std::strerror(errno));
  }
}

// The same of standard input, appended; false at the end.
bool read_some(std::string& to, std::uint64_t max_bytes) {
  std::array<char, kBlock> buffer;
  const std::string_view block = read_block(STDIN_FILENO, "standard input", buffer);
  to += block;
  if (to.size() > max_bytes) {
    throw Error(ExitCode::kBadData, "standard input: too long (expected at most {} bytes)",
                max_bytes);
  }
  return !block.empty();
}

void read_descriptor(int descriptor, const std::string& name,
                     const std::function<void(std::string_view)>& visit) {
  std::array<char, kBlock> buffer;
  for (;;) {
    const std::string_view block = read_block(descriptor, name, buffer);
    if (block.empty()) return;
    visit(block);
  }
}

struct OpenFile {
  int descriptor;
  ~OpenFile() { ::close(descriptor); }
};

}  // namespace

void read_blocks(const std::string& file, const std::function<void(std::string_view)>& visit) {
  if (file == "-") return read_descriptor(STDIN_FILENO, "standard input", visit);
  const OpenFile opened{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (opened.descriptor < 0) {
    throw Error(ExitCode::kNoInput, "{}: cannot open: {}", printable(file), std::strerror(errno));
  }
  read_descriptor(opened.descriptor, printable(file), visit);
}

bool is_regular_input(const std::string& file) {
  struct stat info {};
  const int error = file == "-" ? ::fstat(STDIN_FILENO, &info) : ::stat(file.c_str(), &info);
  return error == 0 && S_ISREG(info.st_mode);
}

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
