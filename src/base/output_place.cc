#include "sluice/base/output_place.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"

namespace sluice {

namespace fs = std::filesystem;

void check_creatable(const std::string& directory) {
  const auto refuse = [&](const fs::path& where, int error) {
    throw Error(ExitCode::kOutput, "{}: cannot be written: {}: {}", printable(directory),
                printable(where.string()), std::strerror(error));
  };
  std::error_code error;
  fs::path existing = fs::absolute(directory, error).lexically_normal();
  for (;; existing = existing.parent_path()) {
    const fs::file_status status = fs::status(existing, error);
    if (status.type() == fs::file_type::none) refuse(existing, error.value());
    if (fs::is_directory(status)) break;
    if (fs::exists(status)) refuse(existing, ENOTDIR);
    if (existing == existing.parent_path()) refuse(existing, ENOENT);
  }
  if (::access(existing.c_str(), W_OK | X_OK) != 0) refuse(existing, errno);
}

void check_replaceable(const std::string& path) {
  fs::path parent = fs::path(path).parent_path();
  if (parent.empty()) parent = ".";
  std::error_code error;
  int reason = 0;
  if (const fs::file_status status = fs::status(path, error); fs::exists(status)) {
    if (!fs::is_regular_file(status)) reason = fs::is_directory(status) ? EISDIR : EEXIST;
  }
  if (fs::exists(parent, error) && !fs::is_directory(parent, error)) reason = ENOTDIR;
  if (reason == 0 && ::access(parent.c_str(), W_OK | X_OK) != 0) reason = errno;
  if (reason == 0) return;
  throw Error(ExitCode::kOutput, "{}: cannot be written: {}", printable(path),
              std::strerror(reason));
}

std::string temporary_directory() {
  std::error_code error;
  const fs::path path = fs::temp_directory_path(error);
  return error ? "/tmp" : path.string();
}

TemporaryFile::TemporaryFile() {
  const std::string directory = temporary_directory();
  FileSystem& files = FileSystem::current();
  descriptor_ = files.open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor_ >= 0) return;
  // Not every file system has files without a name: there it has one for a moment.
  std::string name = directory + "/sluice-XXXXXX";
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ >= 0) {
    files.unlink(name.c_str());
    return;
  }
  throw Error(ExitCode::kOutput, "{}: cannot hold a temporary file: {}", printable(directory),
              std::strerror(errno));
}

TemporaryFile::~TemporaryFile() { FileSystem::current().close(descriptor_); }

std::string TemporaryFile::path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

}  // namespace sluice
