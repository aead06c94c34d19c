#include "sluice/base/output_place.h"

#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "sluice/base/error.h"
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

TemporaryDirectory::TemporaryDirectory() {
  std::error_code error;
  const fs::path parent = fs::temp_directory_path(error);
  path_ = ((error ? fs::path("/tmp") : parent) / "sluice-XXXXXX").string();
  if (::mkdtemp(path_.data()) != nullptr) return;
  throw Error(ExitCode::kOutput, "{}: cannot be created: {}", printable(path_),
              std::strerror(errno));
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace sluice
