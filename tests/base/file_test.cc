#include "sluice/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sluice/base/error.h"
#include "tests/support/error_check.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using testing::error_of;
using testing::TempDir;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// Larger than AtomicFile's own buffer, so that every path through it is taken.
std::string long_text(char first) {
  std::string text(std::size_t{700000}, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>(first + static_cast<char>(i % 23));
  }
  return text;
}

const std::string kOld = "the old content\n";

// Small and large appends and an overwrite: what the model writer does.
std::string write_new_content(const std::string& path) {
  const std::string body = long_text('a');
  AtomicFile file(path);
  file.write("header??");
  file.write(body);
  file.write("tail");
  file.write_at(6, bytes_of("!!"));
  file.write("end");
  file.commit();
  return "header!!" + body + "tailend";
}

int open_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

enum class Call { kOpen, kWrite, kPwrite, kFsync, kClose, kRename, kUnlink };

// Fails the nth call of one kind with an errno; a failing close still closes.
class FailingFileSystem : public FileSystem {
 public:
  FailingFileSystem(Call call, int nth, int error) : call_(call), nth_(nth), error_(error) {}
  bool fired() const { return fired_; }
  bool renamed() const { return renamed_; }

  int open(const char* path, int flags, unsigned mode) override {
    return fails(Call::kOpen) ? -1 : FileSystem::open(path, flags, mode);
  }
  std::ptrdiff_t write(int fd, const void* data, std::size_t size) override {
    return fails(Call::kWrite) ? -1 : FileSystem::write(fd, data, size);
  }
  std::ptrdiff_t pwrite(int fd, const void* data, std::size_t size, std::int64_t offset) override {
    return fails(Call::kPwrite) ? -1 : FileSystem::pwrite(fd, data, size, offset);
  }
  // Some hundred real ones would take their time.
  int fsync(int) override { return fails(Call::kFsync) ? -1 : 0; }
  int close(int fd) override {
    FileSystem::close(fd);
    return fails(Call::kClose) ? -1 : 0;
  }
  int rename(const char* from, const char* to) override {
    if (fails(Call::kRename)) return -1;
    renamed_ = true;
    return FileSystem::rename(from, to);
  }

 private:
  bool fails(Call call) {
    if (call != call_ || ++count_ != nth_) return false;
    fired_ = true;
    errno = error_;
    return true;
  }

  Call call_;
  int nth_, error_;
  int count_ = 0;
  bool fired_ = false, renamed_ = false;
};

// Takes few bytes at a time, and every other call of any kind is interrupted.
class ReluctantFileSystem : public FileSystem {
 public:
  int open(const char* path, int flags, unsigned mode) override {
    return interrupted() ? -1 : FileSystem::open(path, flags, mode);
  }
  std::ptrdiff_t write(int fd, const void* data, std::size_t size) override {
    return interrupted() ? -1 : FileSystem::write(fd, data, std::min<std::size_t>(size, 4099));
  }
  std::ptrdiff_t pwrite(int fd, const void* data, std::size_t size, std::int64_t offset) override {
    return interrupted() ? -1
                         : FileSystem::pwrite(fd, data, std::min<std::size_t>(size, 1), offset);
  }
  int fsync(int fd) override { return interrupted() ? -1 : FileSystem::fsync(fd); }
  int close(int fd) override {
    FileSystem::close(fd);  // as Linux does: closed although interrupted
    errno = EINTR;
    return -1;
  }

 private:
  bool interrupted() {
    errno = EINTR;
    return (++calls_ & 1) != 0;
  }
  int calls_ = 0;
};

class StuckFileSystem : public FileSystem {
 public:
  std::ptrdiff_t write(int, const void*, std::size_t) override { return 0; }
};

// What a power cut leaves: per file the bytes at its last fsync, per name what the last fsync of
// the directory made durable. The files themselves are written as usual.
class PowerCutFileSystem : public FileSystem {
 public:
  PowerCutFileSystem(std::string name, std::string old_content) : name_(std::move(name)) {
    inodes_.push_back({old_content, old_content});
    durable_names_[name_] = names_[name_] = 0;
  }

  // Checks, after each call, that the name would be found whole (old or new) after a power cut.
  std::vector<std::string> log;
  std::vector<std::string> contents_after_cut;

  int open(const char* path, int flags, unsigned mode) override {
    const int fd = FileSystem::open(path, flags, mode);
    if ((flags & O_CREAT) != 0) {
      names_[path] = inodes_.size();
      inode_of_fd_[fd] = inodes_.size();
      inodes_.push_back({});
      note("create");
    } else {
      inode_of_fd_.erase(fd);
    }
    return fd;
  }
  std::ptrdiff_t write(int fd, const void* data, std::size_t size) override {
    inodes_[inode_of_fd_.at(fd)].cached.append(static_cast<const char*>(data), size);
    note("write");
    return FileSystem::write(fd, data, size);
  }
  std::ptrdiff_t pwrite(int fd, const void* data, std::size_t size, std::int64_t offset) override {
    inodes_[inode_of_fd_.at(fd)].cached.replace(static_cast<std::size_t>(offset), size,
                                                static_cast<const char*>(data), size);
    note("pwrite");
    return FileSystem::pwrite(fd, data, size, offset);
  }
  int fsync(int fd) override {
    if (inode_of_fd_.count(fd) != 0) {
      Inode& inode = inodes_[inode_of_fd_.at(fd)];
      inode.durable = inode.cached;
      note("fsync");
    } else {
      durable_names_ = names_;
      note("fsync directory");
    }
    return FileSystem::fsync(fd);
  }
  int close(int fd) override {
    note(inode_of_fd_.count(fd) != 0 ? "close" : "close directory");
    return FileSystem::close(fd);
  }
  int rename(const char* from, const char* to) override {
    names_[to] = names_.at(from);
    names_.erase(from);
    note("rename");
    return FileSystem::rename(from, to);
  }

 private:
  struct Inode {
    std::string cached, durable;
  };
  // The kernel may or may not have written the names back by itself, and likewise the bytes.
  void note(const char* call) {
    log.push_back(call);
    for (const auto* names : {&names_, &durable_names_}) {
      contents_after_cut.push_back(inodes_[names->at(name_)].durable);
    }
  }

  std::string name_;
  std::vector<Inode> inodes_;
  std::map<std::string, std::size_t> names_, durable_names_;
  std::map<int, std::size_t> inode_of_fd_;
};

TEST_CASE("AtomicFile: writes, overwrites and commits what it was given", "[base]") {
  const TempDir dir;
  const std::string expected = write_new_content(dir / "f");
  CHECK(read_whole_file(dir / "f", 1 << 20) == expected);
  CHECK(dir.names() == std::vector<std::string>{"f"});
  write_file_atomically(dir / "f", "second");
  CHECK(read_whole_file(dir / "f", 100) == "second");
  write_file_atomically(dir / "empty", "");
  CHECK(read_whole_file(dir / "empty", 0).empty());
}

TEST_CASE("AtomicFile: nothing shows before commit and nothing stays without it", "[base]") {
  const TempDir dir;
  write_file_atomically(dir / "f", kOld);
  {
    AtomicFile file(dir / "f");
    file.write(long_text('k'));
    CHECK(file.size() == 700000);
    const std::vector<std::string> names = dir.names();
    REQUIRE(names.size() == 2);
    CHECK(is_temporary_name(names[0]));
    CHECK(read_whole_file(dir / "f", 100) == kOld);
  }
  CHECK(dir.names() == std::vector<std::string>{"f"});
  CHECK(read_whole_file(dir / "f", 100) == kOld);
}

TEST_CASE("AtomicFile: any failing call leaves the old file, no temporary and no descriptor",
          "[base]") {
  struct Fault {
    Call call;
    std::vector<int> errors;
  };
  const std::vector<Fault> faults = {{Call::kOpen, {EACCES, ENOSPC, EMFILE, EROFS}},
                                     {Call::kWrite, {ENOSPC, EIO, EDQUOT, EFBIG}},
                                     {Call::kPwrite, {ENOSPC, EIO, EDQUOT}},
                                     {Call::kFsync, {EIO, ENOSPC, EDQUOT}},
                                     {Call::kClose, {EIO, EDQUOT}},
                                     {Call::kRename, {EACCES, EIO, ENOSPC}}};
  for (const Fault& fault : faults) {
    for (const int error : fault.errors) {
      for (const bool replaces : {true, false}) {
        int failures = 0;
        for (int nth = 1;; ++nth) {
          const TempDir dir;
          if (replaces) dir.write("f", kOld);
          const int descriptors = open_descriptors();
          FailingFileSystem files(fault.call, nth, error);
          std::string expected;
          std::optional<Error> failure;
          {
            const ScopedFileSystem scope(files);
            failure = error_of([&] { expected = write_new_content(dir / "f"); });
          }
          CAPTURE(static_cast<int>(fault.call), nth, error, replaces);
          CHECK(open_descriptors() == descriptors);
          if (!failure) {
            // Past the last call, or the close of the directory, which carries no data.
            REQUIRE((!files.fired() || fault.call == Call::kClose));
            CHECK(read_whole_file(dir / "f", 1 << 20) == expected);
            if (!files.fired()) break;
            continue;
          }
          ++failures;
          CHECK(failure->code() == ExitCode::kOutput);
          const std::string text = failure->what();
          CHECK(text.find(dir.path()) == 0);
          CHECK(text.find(std::strerror(error)) != std::string::npos);
          if (files.renamed()) {
            CHECK(read_whole_file(dir / "f", 1 << 20).size() == 700015);
            CHECK(dir.names() == std::vector<std::string>{"f"});
          } else if (replaces) {
            CHECK(read_whole_file(dir / "f", 1 << 20) == kOld);
            CHECK(dir.names() == std::vector<std::string>{"f"});
          } else {
            CHECK(dir.names().empty());
          }
        }
        CHECK(failures >= (fault.call == Call::kOpen || fault.call == Call::kFsync ? 2 : 1));
      }
    }
  }
}

TEST_CASE("AtomicFile: short writes and interrupted calls change nothing", "[base]") {
  const TempDir dir;
  ReluctantFileSystem files;
  const ScopedFileSystem scope(files);
  const std::string expected = write_new_content(dir / "f");
  CHECK(read_whole_file(dir / "f", 1 << 20) == expected);
  CHECK(dir.names() == std::vector<std::string>{"f"});
}

TEST_CASE("AtomicFile: a write that takes nothing is an error, not a loop", "[base]") {
  const TempDir dir;
  StuckFileSystem files;
  const ScopedFileSystem scope(files);
  const auto failure = error_of([&] { write_file_atomically(dir / "f", "content"); });
  REQUIRE(failure);
  CHECK(failure->code() == ExitCode::kOutput);
  CHECK(dir.names().empty());
}

TEST_CASE("AtomicFile: a power cut after any call leaves the old or the new content", "[base]") {
  const TempDir dir;
  write_file_atomically(dir / "f", kOld);
  PowerCutFileSystem files(dir / "f", kOld);
  std::string expected;
  {
    const ScopedFileSystem scope(files);
    expected = write_new_content(dir / "f");
  }
  for (const std::string& content : files.contents_after_cut) {
    REQUIRE((content == kOld || content == expected));
  }
  // After commit() has returned only the new one will do.
  CHECK(files.contents_after_cut.back() == expected);
  CHECK(files.log == std::vector<std::string>{"create", "write", "write", "write", "pwrite",
                                              "write", "fsync", "close", "rename",
                                              "fsync directory", "close directory"});
}

TEST_CASE("AtomicFile: refuses to replace what is no regular file", "[base]") {
  const TempDir dir;
  std::filesystem::create_directory(dir / "sub");
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  for (const std::string& path :
       {dir / "sub", dir / "pipe", std::string("/dev/null"), dir / "missing/f", std::string("")}) {
    CAPTURE(path);
    const auto failure = error_of([&] { write_file_atomically(path, "x"); });
    REQUIRE(failure);
    CHECK(failure->code() == ExitCode::kOutput);
  }
  CHECK(dir.names() == std::vector<std::string>{"pipe", "sub"});
}

TEST_CASE("AtomicFile: a stale temporary file of the same process number is stepped over",
          "[base]") {
  const TempDir dir;
  std::string stale;
  {
    AtomicFile probe(dir / "f");
    stale = dir.names().at(0);
  }
  const std::size_t dash = stale.rfind('-') + 1;
  const int number = std::stoi(stale.substr(dash));
  for (int i = 1; i <= 3; ++i) {
    const std::string name = stale.substr(0, dash) + std::to_string(number + i);
    REQUIRE(::close(::creat((dir / name).c_str(), 0600)) == 0);
  }
  write_file_atomically(dir / "f", "content");
  CHECK(read_whole_file(dir / "f", 100) == "content");
  CHECK(dir.names().size() == 4);
}

TEST_CASE("AtomicFile: a name of 255 bytes is written, an odd one is shown in one line", "[base]") {
  const TempDir dir;
  const std::string name(255, 'n');
  write_file_atomically(dir / name, "x");
  CHECK(dir.names() == std::vector<std::string>{name});
  const auto failure = error_of([&] { write_file_atomically(dir / "a\nb\x1b[0m/f", "x"); });
  REQUIRE(failure);
  CHECK(std::string(failure->what()).find_first_of("\n\x1b") == std::string::npos);
}

TEST_CASE("AtomicFile: overwriting beyond the end and writing after commit are bugs", "[base]") {
  const TempDir dir;
  AtomicFile file(dir / "f");
  file.write("12345678");
  for (const std::uint64_t offset : {std::uint64_t{7}, std::uint64_t{9}, ~std::uint64_t{0}}) {
    const auto failure = error_of([&] { file.write_at(offset, bytes_of("ab")); });
    REQUIRE(failure);
    CHECK(failure->code() == ExitCode::kInternal);
  }
  file.commit();
  CHECK(error_of([&] { file.write("x"); })->code() == ExitCode::kInternal);
  CHECK(error_of([&] { file.commit(); })->code() == ExitCode::kInternal);
  CHECK(read_whole_file(dir / "f", 100) == "12345678");
}

TEST_CASE("is_temporary_name: takes our temporary names only", "[base]") {
  for (const char* name : {".f.tmp-1-0", ".a.tmp-1-2.tmp-33-4", ".step-1.safetensors.tmp-99-12"}) {
    CHECK(is_temporary_name(name));
  }
  for (const char* name : {"f.tmp-1-0", ".f.tmp-1-", ".f.tmp--1", ".f.tmp-1", ".f.tmp-1-0x",
                           ".tmp-1-0", ".f", "", ".f.tmp-1-0-2"}) {
    CHECK_FALSE(is_temporary_name(name));
  }
}

TEST_CASE("InputFile: reads ranges, names the offset where the file ends", "[base]") {
  const TempDir dir;
  write_file_atomically(dir / "f", "0123456789");
  const InputFile file(dir / "f");
  CHECK(file.size() == 10);
  std::string out(4, '?');
  file.read_at(6, std::as_writable_bytes(std::span(out)));
  CHECK(out == "6789");
  for (const std::uint64_t offset : {std::uint64_t{7}, std::uint64_t{11}, ~std::uint64_t{1}}) {
    const auto failure =
        error_of([&] { file.read_at(offset, std::as_writable_bytes(std::span(out))); });
    REQUIRE(failure);
    CHECK(failure->code() == ExitCode::kBadData);
    CHECK(std::string(failure->what()).find("f: offset 10: ") != std::string::npos);
  }
  REQUIRE(::truncate((dir / "f").c_str(), 8) == 0);
  const auto failure = error_of([&] { file.read_at(6, std::as_writable_bytes(std::span(out))); });
  REQUIRE(failure);
  CHECK(std::string(failure->what()).find("offset 8: ") != std::string::npos);
}

TEST_CASE("InputFile: what is missing or no regular file is refused without waiting", "[base]") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  for (const std::string& path :
       {dir / "missing", dir.path(), dir / "pipe", std::string("/dev/zero"), std::string()}) {
    CAPTURE(path);
    const auto failure = error_of([&] { InputFile{path}; });
    REQUIRE(failure);
    CHECK(failure->code() == ExitCode::kNoInput);
    CHECK(std::string(failure->what()).find(path + ": ") == 0);
  }
}

TEST_CASE("read_whole_file: refuses more than it was told to take", "[base]") {
  const TempDir dir;
  write_file_atomically(dir / "f", "0123456789");
  CHECK(read_whole_file(dir / "f", 10) == "0123456789");
  CHECK(error_of([&] { read_whole_file(dir / "f", 9); })->code() == ExitCode::kBadData);
}

TEST_CASE("make_directories: creates parents, accepts what is there, refuses a file", "[base]") {
  const TempDir dir;
  make_directories(dir / "a/b/c/");
  make_directories(dir / "a/b");
  CHECK(std::filesystem::is_directory(dir / "a/b/c"));
  write_file_atomically(dir / "f", "x");
  for (const std::string& path : {dir / "f", dir / "f/g", std::string()}) {
    CHECK(error_of([&] { make_directories(path); })->code() == ExitCode::kOutput);
  }
}

TEST_CASE("Checksum: is XXH3-64, whole or in pieces", "[base]") {
  // Published test vector: the XXH3-64 of nothing.
  CHECK(to_hex(checksum(std::string_view())) == "2d06800538d394c2");
  CHECK(to_hex(0x1234abcdu) == "000000001234abcd");
  const std::string text = long_text('A');
  Checksum pieces;
  for (std::size_t at = 0, step = 1; at < text.size(); at += step, step = step % 997 + 13) {
    pieces.add(std::string_view(text).substr(at, step));
  }
  CHECK(pieces.value() == checksum(text));
  std::string other = text;
  other[5000] ^= 1;
  CHECK(checksum(other) != checksum(text));
}

}  // namespace
}  // namespace sluice
