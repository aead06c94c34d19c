#include "sluice/text/survey.h"

#include <catch2/catch.hpp>

#include "tests/text/text_files.h"

namespace sluice::text {
namespace {

using testing::check_error;
using testing::ScratchFolder;

TEST_CASE("survey: counts of read_corpus, and code points each once", "[text]") {
  const ScratchFolder folder;
  const std::string one = folder.write("one", "aab\xc3\xa9 \n");
  const std::string two = folder.write("two", "\xc3\xa9z");
  const Survey found = survey({one, two});
  CHECK(found.counts == read_corpus({one, two}, [](const LinePiece&) {}));
  CHECK(found.distinct_chars == 5);  // a b é space z
}

TEST_CASE("CharacterSet: what is malformed is none, and sets unite", "[text]") {
  CharacterSet set, other;
  set.add("aba\xff\xc3\xa9\xc3");
  CHECK(set.size() == 3);
  other.add("bc");
  set.add(other);
  CHECK(set.size() == 4);
  CHECK(other.size() == 2);
}

TEST_CASE("survey: what cannot be read again is refused", "[text]") {
  check_error(ExitCode::kNoInput, {"standard input"}, [] { survey({"-"}); });
}

}  // namespace
}  // namespace sluice::text
