#include "sluice/base/output_place.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "sluice/base/error.h"
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

TEST_CASE("TemporaryDirectory: is new, goes with its files, which stay readable", "[base]") {
  std::ifstream open;
  std::string path;
  {
    const TemporaryDirectory first, second;
    path = first.path();
    CHECK(path != second.path());
    CHECK(fs::is_directory(path));
    CHECK(fs::is_empty(path));
    std::ofstream(path + "/file") << "text" << std::flush;
    open.open(path + "/file");
  }
  CHECK_FALSE(fs::exists(path));
  std::string text;
  open >> text;
  CHECK(text == "text");
}

}  // namespace
}  // namespace sluice
