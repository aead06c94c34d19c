#include "byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "gunzip.h"
#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/text/corpus.h"

namespace sluice::text {
namespace {

constexpr std::size_t kBlockBytes = 256 * 1024;

bool same_time(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

std::string display_name(const std::string& file) {
  return file == "-" ? "standard input" : printable(file);
}

void throw_unreadable(const std::string& file, const char* operation, int error) {
  throw Error(ExitCode::kNoInput, "{}: cannot {} (expected text, found: {})", display_name(file),
              operation, std::strerror(error));
}

struct ByteSource::State {
  explicit State(const std::string& file_) : file(file_) {
    if (file != "-") {
      fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) throw_unreadable(file, "open", errno);
    }
  }
  ~State() {
    if (file != "-") ::close(fd);
  }

  void inspect() {
    if (::fstat(fd, &before) != 0) throw_unreadable(file, "read", errno);
    if (S_ISDIR(before.st_mode)) throw_unreadable(file, "read", EISDIR);
  }

  std::string_view block() {
    std::size_t size = 0;
    while (size < buffer.size() && !ended) {
      const ssize_t count = ::read(fd, buffer.data() + size, buffer.size() - size);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw_unreadable(file, "read", errno);
      ended = count == 0;
      size += static_cast<std::size_t>(count);
    }
    if (ended) check_unchanged();
    read += size;
    return {buffer.data(), size};
  }

  void check_unchanged() const {
    struct stat after {};
    if (!S_ISREG(before.st_mode) || ::fstat(fd, &after) != 0) return;
    if (after.st_size == before.st_size && same_time(after.st_mtim, before.st_mtim)) return;
    throw Error(ExitCode::kBadData,
                "{}: changed while it was read (expected {} bytes that stay, found {} or others); "
                "try again when nothing writes to it",
                display_name(file), before.st_size, after.st_size);
  }

  const std::string file;
  int fd = STDIN_FILENO;
  struct stat before {};
  std::vector<char> buffer = std::vector<char>(kBlockBytes);
  bool ended = false;
  std::uint64_t read = 0;
  std::optional<std::string_view> first;  // read already, to see what it is
  std::optional<Gunzip> gunzip;
};

ByteSource::ByteSource(const std::string& file) : state_(std::make_unique<State>(file)) {
  State& state = *state_;
  state.inspect();
  state.first = state.block();
  const auto packed = [&state] {
    return state.first ? *std::exchange(state.first, std::nullopt) : state.block();
  };
  if (state.first->starts_with(kGzip.signature)) state.gunzip.emplace(display_name(file), packed);
}

ByteSource::~ByteSource() = default;

std::string_view ByteSource::next() {
  if (state_->gunzip) return state_->gunzip->next();
  if (state_->first) return *std::exchange(state_->first, std::nullopt);
  return state_->block();
}

bool ByteSource::packed() const { return state_->gunzip.has_value(); }
std::uint64_t ByteSource::read() const { return state_->read; }

}  // namespace sluice::text
