#include "sluice/base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice {

int FileSystem::open(const char* path, int flags, unsigned mode) {
  return ::open(path, flags, static_cast<mode_t>(mode));
}
std::ptrdiff_t FileSystem::write(int fd, const void* data, std::size_t size) {
  return ::write(fd, data, size);
}
std::ptrdiff_t FileSystem::pwrite(int fd, const void* data, std::size_t size, std::int64_t offset) {
  return ::pwrite(fd, data, size, offset);
}
int FileSystem::fsync(int fd) { return ::fsync(fd); }
int FileSystem::close(int fd) { return ::close(fd); }
int FileSystem::rename(const char* from, const char* to) { return std::rename(from, to); }
int FileSystem::unlink(const char* path) { return ::unlink(path); }

namespace {

FileSystem*& current_file_system() {
  static FileSystem real;
  static FileSystem* current = &real;
  return current;
}

std::string error_text(int error) { return std::generic_category().message(error); }

[[noreturn]] void fail_output(const std::string& path, std::string_view operation, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(ExitCode::kOutput, "{}: cannot {}: {}{}", printable(path), operation,
              error_text(error), full ? "; free some space and try again" : "");
}

[[noreturn]] void fail_input(const std::string& path, std::string_view operation, int error) {
  throw Error(ExitCode::kNoInput, "{}: cannot {}: {}", printable(path), operation,
              error_text(error));
}

// Repeats a call that a signal interrupted.
template <class Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Calls transfer(data, size) until every byte has gone; returns 0 or errno.
template <class Transfer>
int write_fully(std::span<const std::byte> data, const Transfer& transfer) {
  while (!data.empty()) {
    const std::ptrdiff_t n = uninterrupted([&] { return transfer(data.data(), data.size()); });
    if (n < 0) return errno;
    if (n == 0) return ENOSPC;  // no progress and no reason given: never loop on it
    data = data.subspan(static_cast<std::size_t>(n));
  }
  return 0;
}

// Linux releases the descriptor even when close() is interrupted: a second call could close
// somebody else's.
int close_once(int fd) {
  const int result = FileSystem::current().close(fd);
  return result < 0 && errno == EINTR ? 0 : result;
}

std::string parent_directory(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

int open_directory(const std::string& path) {
  const int fd = uninterrupted([&] {
    return FileSystem::current().open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  });
  if (fd < 0) fail_output(path, "open the directory", errno);
  return fd;
}

void sync_and_close_directory(const std::string& path, int fd) {
  const int result = uninterrupted([&] { return FileSystem::current().fsync(fd); });
  // EINVAL: a file system that has no such call; nothing better can be done there.
  const int error = result < 0 && errno != EINVAL ? errno : 0;
  close_once(fd);
  if (error != 0) fail_output(path, "flush the directory to disk", error);
}

}  // namespace

FileSystem& FileSystem::current() { return *current_file_system(); }

ScopedFileSystem::ScopedFileSystem(FileSystem& replacement)
    : previous_(std::exchange(current_file_system(), &replacement)) {}
ScopedFileSystem::~ScopedFileSystem() { current_file_system() = previous_; }

struct AtomicFile::State {
  std::string path;
  std::string temporary;  // empty: there is no name to get
  int fd = -1;            // -1 once committed or given up
  std::uint64_t size = 0;
  std::vector<std::byte> pending;  // appended but not yet handed to the kernel

  void create();
  void append(std::span<const std::byte> data);
  void flush();
  void require_open() const;
  void give_up() noexcept;
  [[noreturn]] void give_up_and_fail(std::string_view operation, int error);
};

// Small appends are gathered: producers write row by row.
constexpr std::size_t kPendingBytes = std::size_t{1} << 18;

void AtomicFile::State::create() {
  const std::string name = std::filesystem::path(path).filename().string();
  // The longest name most file systems take is 255 bytes: leave room for what is added.
  const std::string stem = name.substr(0, 200);
  static std::atomic<unsigned> next_number{0};
  for (int attempt = 0; attempt < 100; ++attempt) {
    temporary = fmt::format("{}/.{}.tmp-{}-{}", parent_directory(path), stem, ::getpid(),
                            next_number.fetch_add(1));
    fd = uninterrupted([&] {
      return FileSystem::current().open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                                        0666);
    });
    // A temporary file left by a killed process that had the same id: take the next number.
    if (fd >= 0 || errno != EEXIST) break;
  }
  if (fd < 0) fail_output(path, "create a temporary file beside it", errno);
}

void AtomicFile::State::append(std::span<const std::byte> data) {
  FileSystem& files = FileSystem::current();
  const int error = write_fully(
      data, [&](const void* bytes, std::size_t count) { return files.write(fd, bytes, count); });
  if (error != 0) give_up_and_fail("write", error);
}

void AtomicFile::State::flush() {
  append(pending);
  pending.clear();
}

void AtomicFile::State::require_open() const {
  if (fd < 0) {
    throw Error(ExitCode::kInternal, "{}: written after it was closed", printable(path));
  }
}

void AtomicFile::State::give_up() noexcept {
  if (fd < 0) return;
  const int open = std::exchange(fd, -1);
  if (temporary.empty()) return;
  close_once(open);
  FileSystem::current().unlink(temporary.c_str());
}

void AtomicFile::State::give_up_and_fail(std::string_view operation, int error) {
  give_up();
  fail_output(path, operation, error);
}

AtomicFile::AtomicFile(std::string path) : state_(std::make_unique<State>()) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw Error(ExitCode::kOutput, "{}: cannot be replaced (expected a regular file, found {})",
                printable(path), S_ISDIR(status.st_mode) ? "a directory" : "a device or pipe");
  }
  state_->path = std::move(path);
  state_->pending.reserve(kPendingBytes);
  state_->create();
}

AtomicFile::AtomicFile(std::string path, int descriptor) : state_(std::make_unique<State>()) {
  state_->path = std::move(path);
  state_->fd = descriptor;
}

AtomicFile::~AtomicFile() { state_->give_up(); }

void AtomicFile::write(std::span<const std::byte> data) {
  state_->require_open();
  if (state_->pending.size() + data.size() > kPendingBytes) state_->flush();
  if (data.size() > kPendingBytes) {
    state_->append(data);
  } else {
    state_->pending.insert(state_->pending.end(), data.begin(), data.end());
  }
  state_->size += data.size();
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> data) {
  state_->require_open();
  if (offset > state_->size || data.size() > state_->size - offset) {
    throw Error(ExitCode::kInternal, "{}: bytes overwritten before they were written",
                printable(state_->path));
  }
  state_->flush();
  FileSystem& files = FileSystem::current();
  auto position = static_cast<std::int64_t>(offset);
  const int error = write_fully(data, [&](const void* bytes, std::size_t count) {
    const std::ptrdiff_t n = files.pwrite(state_->fd, bytes, count, position);
    position += std::max<std::ptrdiff_t>(n, 0);
    return n;
  });
  if (error != 0) state_->give_up_and_fail("write", error);
}

void AtomicFile::commit() {
  State& s = *state_;
  s.require_open();
  s.flush();
  if (s.temporary.empty()) {
    s.fd = -1;
    return;
  }
  FileSystem& files = FileSystem::current();
  if (uninterrupted([&] { return files.fsync(s.fd); }) < 0) {
    s.give_up_and_fail("flush to disk", errno);
  }
  // Opened before the rename: a directory that cannot be opened must not cost the old file.
  const std::string directory = parent_directory(s.path);
  int directory_fd = -1;
  try {
    directory_fd = open_directory(directory);
  } catch (const Error&) {
    s.give_up();
    throw;
  }
  std::string_view operation = "close";
  int result = close_once(std::exchange(s.fd, -1));
  if (result == 0) {
    operation = "rename its temporary file to it";
    result = files.rename(s.temporary.c_str(), s.path.c_str());
  }
  if (result < 0) {
    const int error = errno;
    files.unlink(s.temporary.c_str());
    close_once(directory_fd);
    fail_output(s.path, operation, error);
  }
  sync_and_close_directory(directory, directory_fd);
}

std::uint64_t AtomicFile::size() const { return state_->size; }

bool is_temporary_name(std::string_view file_name) {
  constexpr std::string_view kMark = ".tmp-";
  const std::size_t mark = file_name.rfind(kMark);
  if (!file_name.starts_with('.') || mark == std::string_view::npos || mark < 2) return false;
  const std::string_view numbers = file_name.substr(mark + kMark.size());
  const std::size_t dash = numbers.find('-');
  if (dash == std::string_view::npos) return false;
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return is_number(numbers.substr(0, dash)) && is_number(numbers.substr(dash + 1));
}

void write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void sync_directory(const std::string& path) {
  sync_and_close_directory(path, open_directory(path));
}

void make_directories(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return;
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const std::string parent = parent_directory(trimmed);
  if (parent != trimmed && parent != ".") make_directories(parent);
  if (::mkdir(trimmed.c_str(), 0777) < 0) {
    const int error = errno;
    // Another process may have made it meanwhile.
    if (!std::filesystem::is_directory(trimmed, ignored)) {
      fail_output(path, "create the directory", error);
    }
  }
  sync_directory(parent);
}

InputFile::InputFile(std::string path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a pipe must not wait for its writer; it changes nothing for regular files.
  fd_ = uninterrupted(
      [&] { return ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); });
  if (fd_ < 0) fail_input(path_, "open", errno);
  struct stat status {};
  const int result = ::fstat(fd_, &status);
  const int error = errno;
  if (result == 0 && S_ISREG(status.st_mode)) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    return;
  }
  ::close(std::exchange(fd_, -1));
  if (result < 0) fail_input(path_, "examine", error);
  throw Error(ExitCode::kNoInput, "{}: cannot be read (expected a regular file, found {})",
              printable(path_), S_ISDIR(status.st_mode) ? "a directory" : "a device or pipe");
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), size_(other.size_) {}

void InputFile::read_at(std::uint64_t offset, std::span<std::byte> out) const {
  const auto ends_early = [&](std::uint64_t end) {
    throw Error(ExitCode::kBadData, "{}: offset {}: file ends early (expected {} more bytes)",
                printable(path_), end, out.size() - (end - std::min(offset, end)));
  };
  if (offset > size_ || out.size() > size_ - offset) ends_early(size_);
  for (std::size_t done = 0; done < out.size();) {
    const std::ptrdiff_t n = uninterrupted([&] {
      return ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    });
    if (n < 0) fail_input(path_, "read", errno);
    if (n == 0) ends_early(offset + done);  // cut after it was opened
    done += static_cast<std::size_t>(n);
  }
}

std::string read_start(const InputFile& file, std::size_t bytes) {
  std::string start(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, file.size())), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(start)));
  return start;
}

std::string read_whole_file(const std::string& path, std::uint64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes) {
    throw Error(ExitCode::kBadData, "{}: file too large (expected at most {} bytes, found {})",
                printable(path), max_bytes, file.size());
  }
  std::string content(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(content)));
  return content;
}

std::uint64_t checksum(std::span<const std::byte> data) {
  return XXH3_64bits(data.data(), data.size());
}
std::uint64_t checksum(std::string_view text) { return checksum(std::as_bytes(std::span(text))); }

struct Checksum::State {
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> hash{XXH3_createState()};
};

Checksum::Checksum() : state_(std::make_unique<State>()) {
  if (state_->hash == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset(state_->hash.get());
}
Checksum::~Checksum() = default;
void Checksum::add(std::span<const std::byte> data) {
  XXH3_64bits_update(state_->hash.get(), data.data(), data.size());
}
void Checksum::add(std::string_view text) { add(std::as_bytes(std::span(text))); }
std::uint64_t Checksum::value() const { return XXH3_64bits_digest(state_->hash.get()); }

std::string to_hex(std::uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace sluice
