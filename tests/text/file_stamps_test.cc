#include "sluice/text/file_stamps.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/text/text_files.h"

using namespace sluice::text;
using namespace sluice::text::testing;

TEST_CASE("FileStamps: a file that changes, goes or is replaced is told, once", "[text]") {
  namespace fs = std::filesystem;
  const ScratchFolder folder;
  const std::vector<std::string> files = {folder.write("same", "1"), folder.write("longer", "2"),
                                          folder.write("touched", "3"), folder.write("gone", "4"),
                                          folder.write("replaced", "5")};
  FileStamps stamps(files);
  CHECK(stamps.changed().empty());
  const auto time = fs::last_write_time(files[1]);
  folder.write("longer", "22");
  fs::last_write_time(files[1], time);
  fs::last_write_time(files[2], fs::last_write_time(files[2]) + std::chrono::nanoseconds(1));
  fs::remove(files[3]);
  const auto old_time = fs::last_write_time(files[4]);
  const auto other = folder.write("other", "6");
  fs::last_write_time(other, old_time);
  fs::rename(other, files[4]);
  CHECK(stamps.changed() == std::vector<std::string>{files[1], files[2], files[3], files[4]});
  CHECK(stamps.changed().empty());
}
