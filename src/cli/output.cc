#include "src/cli/output.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <new>
#include <system_error>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::cli {
namespace {

constexpr std::size_t kBufferBytes = 1 << 16;

// Writes all of it; returns 0 or errno.
int write_fully(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<std::size_t>(n));
    } else if (n == 0) {
      return ENOSPC;  // no progress and no reason given: never loop on it
    } else if (errno == EAGAIN) {
      pollfd writable{.fd = fd, .events = POLLOUT, .revents = 0};
      ::poll(&writable, 1, -1);  // somebody made the terminal or pipe non-blocking
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

void Output::write(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) flush();
}

void Output::check_open() {
  const int flags = ::fcntl(STDOUT_FILENO, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return;
  throw Error(ExitCode::kOutput, "standard output: cannot write: it is closed");
}

void Output::flush() {
  const int error = write_fully(STDOUT_FILENO, buffer_);
  buffer_.clear();
  if (error == 0) return;
  if (error == EPIPE) throw BrokenPipe{};
  throw Error(ExitCode::kOutput, "standard output: cannot write: {}",
              error == EBADF ? "it is closed" : std::generic_category().message(error));
}

void report_error(std::string_view text) noexcept {
  try {
    write_fully(STDERR_FILENO, "error: " + printable(text) + "\n");
  } catch (const std::bad_alloc&) {
    write_fully(STDERR_FILENO, "error: out of memory\n");
  }
}

void occupy_closed_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // open() takes the lowest free descriptor, which is fd. The direction is the wrong one on
    // purpose: an error where silence would lose data.
    ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace sluice::cli
