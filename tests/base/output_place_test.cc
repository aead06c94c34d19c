#include "sluice/base/output_place.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "sluice/base/error.h"
#include "tests/support/error_check.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::TempDir;

std::string refusal(const std::string& directory) {
  try {
    check_creatable(directory);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kOutput);
    return error.what();
  }
  FAIL(directory << " was granted");
  return "";
}

TEST_CASE("check_creatable: a directory or the parent of one will do, nothing is made", "[base]") {
  const TempDir folder;
  CHECK_NOTHROW(check_creatable(folder.path()));
  CHECK_NOTHROW(check_creatable(folder / "a/b/c"));
  CHECK_NOTHROW(check_creatable("a/relative/path"));
  CHECK(folder.names().empty());
}

TEST_CASE("check_creatable: a file on the way and a name too long are refused", "[base]") {
  const TempDir folder;
  folder.write("file", "x");
  CHECK(refusal(folder / "file").find("Not a directory") != std::string::npos);
  CHECK(refusal(folder / "file/below").find("Not a directory") != std::string::npos);
  CHECK(refusal(folder / std::string(300, 'x')).find("too long") != std::string::npos);
}

TEST_CASE("check_creatable: a directory that may not be written to is refused", "[base]") {
  if (::geteuid() == 0) return;  // root may
  const TempDir folder;
  fs::create_directory(folder / "closed");
  fs::permissions(folder / "closed", fs::perms::owner_read | fs::perms::owner_exec);
  CHECK(refusal(folder / "closed/new").find("Permission denied") != std::string::npos);
  fs::permissions(folder / "closed", fs::perms::owner_all);
}

TEST_CASE("check_replaceable: a regular file or none, in a directory that is there", "[base]") {
  const TempDir folder;
  folder.write("file", "x");
  CHECK_NOTHROW(check_replaceable(folder / "file"));
  CHECK_NOTHROW(check_replaceable(folder / "new"));
  CHECK_NOTHROW(check_replaceable("new"));
  const auto refuses = [](const std::string& path, const std::string& why) {
    testing::check_error(ExitCode::kOutput, {path, why}, [&] { check_replaceable(path); });
  };
  refuses(folder.path(), "Is a directory");
  refuses("/dev/null", "File exists");
  refuses(folder / "missing/new", "No such file");
  refuses(folder / "file/new", "Not a directory");
  CHECK(folder.names().size() == 1);
}

TEST_CASE("TemporaryFile: has no name, and is read as long as somebody has it open", "[base]") {
  const TempDir folder;
  const char* before = std::getenv("TMPDIR");
  const std::string kept = before != nullptr ? before : "";
  ::setenv("TMPDIR", folder.path().c_str(), 1);
  CHECK(temporary_directory() == folder.path());
  std::ifstream open;
  {
    const TemporaryFile file;
    CHECK(folder.names().empty());
    REQUIRE(::write(file.descriptor(), "text", 4) == 4);
    open.open(file.path());
  }
  before != nullptr ? ::setenv("TMPDIR", kept.c_str(), 1) : ::unsetenv("TMPDIR");
  std::string text;
  open >> text;
  CHECK(text == "text");
}

}  // namespace
}  // namespace sluice
