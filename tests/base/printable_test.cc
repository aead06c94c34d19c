#include "sluice/base/printable.h"

#include <catch2/catch.hpp>
#include <string>

namespace sluice {
namespace {

TEST_CASE("printable: what can steer a terminal or end a line is escaped", "[base]") {
  CHECK(printable("a\nb\tc\rd") == "a\\nb\\tc\\rd");
  CHECK(printable("\x1b]0;x\x07") == "\\u{1b}]0;x\\u{7}");
  CHECK(printable(std::string(1, '\0')) == "\\u{0}");
  CHECK(printable("\x7f") == "\\u{7f}");
  CHECK(printable("\xc2\x9b") == "\\u{9b}");        // CSI in one character
  CHECK(printable("\xe2\x80\xae") == "\\u{202e}");  // right-to-left override
  CHECK(printable("\xe2\x80\xa8") == "\\u{2028}");  // line separator
}

TEST_CASE("printable: bytes that are not UTF-8 show as hex", "[base]") {
  CHECK(printable("a\xff") == "a\\xff");
  CHECK(printable("\xc0\x80") == "\\xc0\\x80");           // overlong
  CHECK(printable("\xe0\x80\x80") == "\\xe0\\x80\\x80");  // overlong
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // surrogate
  CHECK(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
  CHECK(printable("\xe2\x82") == "\\xe2\\x82");  // cut
}

TEST_CASE("printable: other text comes back unchanged, so twice does no harm", "[base]") {
  const std::string text = "grüße, 水, 🙂 \\n \"x\"";
  CHECK(printable(text) == text);
  CHECK(printable(printable("\n\xff")) == printable("\n\xff"));
}

TEST_CASE("quote: long text is cut between characters", "[base]") {
  CHECK(quote("abc") == "\"abc\"");
  CHECK(quote("abcdef", 3) == "\"abc...\"");
  CHECK(quote("ab\xc3\xa9z", 3) == "\"ab...\"");
}

}  // namespace
}  // namespace sluice
