#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

// The file layer. Everything Sluice keeps is written through it: no ofstream (its destructor hides
// a full disk), no mmap (a truncated file is a SIGBUS). Errors are sluice::Error with kOutput or
// kNoInput, naming the path, the operation and errno's text.
namespace sluice {

// The system calls behind the writers. Tests install another one that fails the Nth call, writes
// short, or records what was not yet synced; the product only ever uses the real one. Every
// function returns what the system call returns and sets errno.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual int open(const char* path, int flags, unsigned mode);
  virtual std::ptrdiff_t write(int fd, const void* data, std::size_t size);
  virtual std::ptrdiff_t pwrite(int fd, const void* data, std::size_t size, std::int64_t offset);
  virtual int fsync(int fd);
  virtual int close(int fd);
  virtual int rename(const char* from, const char* to);
  virtual int unlink(const char* path);

  static FileSystem& current();
};

// Replaces the current file system while it lives; for tests, one thread at a time.
class ScopedFileSystem {
 public:
  explicit ScopedFileSystem(FileSystem& replacement);
  ~ScopedFileSystem();
  ScopedFileSystem(const ScopedFileSystem&) = delete;
  ScopedFileSystem& operator=(const ScopedFileSystem&) = delete;

 private:
  FileSystem* previous_;
};

// A file that appears under its name whole or not at all: written to a temporary file in the same
// directory (".NAME.tmp-PID-N", O_EXCL), then fsync, close, rename, fsync of the directory.
// Whatever fails up to the rename, the temporary file is removed and an older file of that name
// stays as it was; when only the last fsync fails, the new file stands whole under its name but may
// not survive a power cut, and commit() throws. After a failed fsync nothing is retried on the same
// file: the kernel may have dropped the pages and report success.
// A path that names something else than a regular file (directory, device, pipe) is refused, so
// that no rename ever replaces /dev/null.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  // A file that has no name and never gets one, open at `descriptor`, which stays its owner's:
  // commit() only hands on what is pending. `path` is what errors name.
  AtomicFile(std::string path, int descriptor);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> data);
  void write(std::string_view text);
  // Overwrites bytes already written; the append position stays. Error kInternal beyond size().
  void write_at(std::uint64_t offset, std::span<const std::byte> data);
  void commit();
  std::uint64_t size() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// True for the names that AtomicFile gives its temporary files: what a kill -9 leaves behind.
bool is_temporary_name(std::string_view file_name);

// One-shot AtomicFile.
void write_file_atomically(const std::string& path, std::string_view content);

// Makes what happened to the names in a directory (created, renamed, removed) durable.
void sync_directory(const std::string& path);

// Creates the directory and its missing parents, each durable in its own parent. One that is there
// already is fine; anything else under that name is an error.
void make_directories(const std::string& path);

// A regular file opened for reading; sizes and short reads are checked. Directories, devices and
// pipes are refused, the latter without waiting for a writer. read_at() may be called by several
// threads.
class InputFile {
 public:
  explicit InputFile(std::string path);  // Error kNoInput
  ~InputFile();
  InputFile(InputFile&&) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  // Fills the whole span from `offset`; Error kBadData naming the offset when the file ends early,
  // kNoInput when the device fails.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

// The first `bytes`, or all that there are. Errors as read_at().
std::string read_start(const InputFile& file, std::size_t bytes);

// The whole file; Error kNoInput when it cannot be read, kBadData when larger than max_bytes.
std::string read_whole_file(const std::string& path, std::uint64_t max_bytes);

// XXH3-64 in one go and streaming: the checksum of all files of ours.
std::uint64_t checksum(std::span<const std::byte> data);
std::uint64_t checksum(std::string_view text);
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;
  void add(std::span<const std::byte> data);
  void add(std::string_view text);
  std::uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};
std::string to_hex(std::uint64_t value);  // 16 lower-case digits

}  // namespace sluice
