#include "src/text/spill.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

TEST_CASE("Spill: gives back what was appended and leaves no name", "[text]") {
  const ScratchFolder folder;
  Spill spill(folder.path(""));
  CHECK(folder.names().empty());
  std::string expected;
  for (std::size_t size : {0u, 1u, 255u, 262143u, 262144u, 262145u, 1000000u}) {
    const std::string piece(size, static_cast<char>('a' + size % 7));
    expected += piece;
    spill.append(std::as_bytes(std::span(piece)));
    CHECK(spill.size() == expected.size());
  }
  for (int copy = 0; copy < 2; ++copy) {
    std::string found;
    spill.copy_to([&found](std::span<const std::byte> data) {
      found.append(reinterpret_cast<const char*>(data.data()), data.size());
    });
    CHECK(found == expected);
  }
}

TEST_CASE("Spill: a folder that cannot hold it is named", "[text]") {
  const ScratchFolder folder;
  check_error(ExitCode::kOutput, {folder.path("none"), "No such file"},
              [&] { Spill{folder.path("none")}; });
}
