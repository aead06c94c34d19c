#include "sluice/text/text_stream.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace sluice::text {
namespace {

// What comes out for each piece.
std::vector<std::string> stream(const std::vector<std::string>& pieces) {
  TextStream characters;
  std::vector<std::string> out;
  for (const std::string& piece : pieces) out.push_back(characters.add(piece));
  return out;
}

using Strings = std::vector<std::string>;

TEST_CASE("TextStream: whole characters come out at once, others when they are whole", "[text]") {
  CHECK(stream({"a", "bc", ""}) == Strings{"a", "bc", ""});
  CHECK(stream({"\xE2", "\x82", "\xAC", "x"}) == Strings{"", "", "€", "x"});
  CHECK(stream({"a\xE2\x82",
                "\xAC"
                "b\xF0\x9F",
                "\x98\x80"}) == Strings{"a", "€b", "😀"});
}

TEST_CASE("TextStream: bytes that cannot become a character are U+FFFD", "[text]") {
  CHECK(stream({"\xFF", "a"}) == Strings{"\uFFFD", "a"});
  CHECK(stream({"\x80"}) == Strings{"\uFFFD"});
  // A start whose rest does not come; what comes instead is kept.
  CHECK(stream({"\xE2\x82", "x"}) == Strings{"", "\uFFFD\uFFFDx"});
  CHECK(stream({"\xE2", "\xE2", "\x82", "\xAC"}) == Strings{"", "\uFFFD", "", "€"});
  // Overlong, surrogate, beyond Unicode.
  CHECK(stream({"\xC0\x80"}) == Strings{"\uFFFD\uFFFD"});
  CHECK(stream({"\xED\xA0\x80"}) == Strings{"\uFFFD\uFFFD\uFFFD"});
  CHECK(stream({"\xF5"}) == Strings{"\uFFFD"});
}

}  // namespace
}  // namespace sluice::text
