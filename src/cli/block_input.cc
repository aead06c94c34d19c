#include "src/cli/block_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::cli {
namespace {

void read_descriptor(int descriptor, const std::string& name,
                     const std::function<void(std::string_view)>& visit) {
  char block[1 << 16];
  for (;;) {
    const ssize_t got = ::read(descriptor, block, sizeof block);
    if (got == 0) return;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(ExitCode::kNoInput, "{}: {}", name, std::strerror(errno));
    visit({block, static_cast<std::size_t>(got)});
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

std::string read_input(const std::string& file, std::uint64_t max_bytes) {
  std::string all;
  read_blocks(file, [&](std::string_view block) {
    if (block.size() > max_bytes - all.size()) {
      throw Error(ExitCode::kBadData, "{}: too long (expected at most {} bytes)",
                  file == "-" ? "standard input" : printable(file), max_bytes);
    }
    all += block;
  });
  return all;
}

bool is_regular_input(const std::string& file) {
  struct stat info {};
  const int error = file == "-" ? ::fstat(STDIN_FILENO, &info) : ::stat(file.c_str(), &info);
  return error == 0 && S_ISREG(info.st_mode);
}

}  // namespace sluice::cli
