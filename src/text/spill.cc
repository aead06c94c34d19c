#include "spill.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"

namespace sluice::text {
namespace {

constexpr std::size_t kBlockBytes = 256 * 1024;

// A name that AtomicFile could have given, so that it is known as temporary should the process die
// before the name is gone.
std::string temporary_path(const std::string& directory) {
  static std::atomic<unsigned> serial{0};
  return fmt::format("{}/.tokens-spill.tmp-{}-{}", directory, ::getpid(), serial++);
}

}  // namespace

Spill::Spill(const std::string& directory) : directory_(directory) {
  buffer_.reserve(kBlockBytes);
  const std::string path = temporary_path(directory);
  FileSystem& files = FileSystem::current();
  fd_ = files.open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) fail("create a temporary file", errno);
  if (files.unlink(path.c_str()) != 0) {
    const int error = errno;
    files.close(fd_);
    fail("remove a temporary file", error);
  }
}

Spill::~Spill() { FileSystem::current().close(fd_); }

void Spill::append(std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::size_t count = std::min(data.size(), kBlockBytes - buffer_.size());
    const auto head = data.first(count);
    buffer_.insert(buffer_.end(), head.begin(), head.end());
    data = data.subspan(count);
    if (buffer_.size() == kBlockBytes) flush();
  }
}

void Spill::flush() {
  std::size_t done = 0;
  while (done < buffer_.size()) {
    const std::ptrdiff_t count =
        FileSystem::current().write(fd_, buffer_.data() + done, buffer_.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("write a temporary file", count < 0 ? errno : EIO);
    done += static_cast<std::size_t>(count);
  }
  flushed_ += done;
  buffer_.clear();
}

void Spill::copy_to(const std::function<void(std::span<const std::byte>)>& write) {
  flush();
  std::vector<std::byte> block(kBlockBytes);
  std::uint64_t offset = 0;
  while (offset < flushed_) {
    const auto wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(kBlockBytes, flushed_ - offset));
    const ssize_t count = ::pread(fd_, block.data(), wanted, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail("read back a temporary file", count < 0 ? errno : EIO);
    write({block.data(), static_cast<std::size_t>(count)});
    offset += static_cast<std::uint64_t>(count);
  }
}

void Spill::fail(const char* operation, int error) const {
  throw Error(ExitCode::kOutput, "{}: cannot {} ({})", printable(directory_), operation,
              std::strerror(error));
}

}  // namespace sluice::text
