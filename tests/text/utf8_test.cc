#include "sluice/text/utf8.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace sluice::text;

namespace {

std::string encoded(char32_t code_point) {
  std::string out;
  append_utf8(code_point, out);
  return out;
}

}  // namespace

TEST_CASE("Utf8: every code point goes out and back", "[text]") {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c == 0xd800) c = 0xe000;
    const std::string bytes = encoded(c);
    const std::size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    REQUIRE(bytes.size() == length);
    REQUIRE(utf8_length(bytes) == length);
    REQUIRE(decode_utf8(bytes) == c);
  }
  CHECK(encoded(0x20ac) == "\xe2\x82\xac");
  CHECK(encoded(0x1f600) == "\xf0\x9f\x98\x80");
}

// Well-formed sequences are exactly as many as there are code points of that length, so together
// with the test above these counts leave no room for a false one.
TEST_CASE("Utf8: nothing else is well-formed", "[text]") {
  std::vector<std::size_t> found(5);
  std::string bytes(3, '\0');
  for (unsigned x = 0; x < 1u << 24; ++x) {
    bytes[0] = static_cast<char>(x >> 16);
    bytes[1] = static_cast<char>(x >> 8);
    bytes[2] = static_cast<char>(x);
    ++found[utf8_length(bytes)];
  }
  CHECK(found[1] == 0x80u * 0x10000);
  CHECK(found[2] == (0x800u - 0x80) * 0x100);
  CHECK(found[3] == 0x10000u - 0x800 - 0x800);
  CHECK(found[4] == 0);

  std::size_t long_ones = 0;
  const std::string edges = "\x7f\x80\xbf\xc0";
  for (unsigned x = 0; x < 1u << 16; ++x) {
    for (const char third : edges) {
      for (const char fourth : edges) {
        const char sequence[] = {static_cast<char>(x >> 8), static_cast<char>(x), third, fourth};
        long_ones += utf8_length({sequence, 4}) == 4 ? 1u : 0u;
      }
    }
  }
  CHECK(long_ones == 0x100000u / 64 / 64 * 2 * 2);
}

TEST_CASE("Utf8: the first bad byte is found wherever it stands", "[text]") {
  const std::vector<std::string> bad = {"\xff",         "\xc0\x80",         "\xed\xa0\x80",
                                        "\xe2\x82",     "\xf4\x90\x80\x80", "\x80",
                                        "\xc3\xc3\xa9", "\xf0\x9f\x98"};
  for (const std::string& sequence : bad) {
    for (std::size_t before = 0; before < 20; ++before) {
      const std::string text = std::string(before, 'a') + "\xc3\xa9" + sequence;
      CHECK(find_invalid_utf8(text) == before + 2);
      CHECK(find_invalid_utf8(text + "bcdefghijkl") == before + 2);
    }
  }
  CHECK(find_invalid_utf8("") == std::nullopt);
  CHECK(find_invalid_utf8(std::string(1, '\0') +
                          "ab\xe2\x82\xac\xf0\x9f\x98\x80 plain ascii text") == std::nullopt);
}

TEST_CASE("Utf8: code points are counted, not bytes", "[text]") {
  CHECK(count_code_points("") == 0);
  CHECK(count_code_points("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z") == 5);
  // Whatever width the loop is compiled to.
  std::string text;
  for (std::size_t chars = 0; chars < 400; ++chars) {
    CHECK(count_code_points(text) == chars);
    text += chars % 7 == 3 ? "\xe2\x82\xac" : "a";
  }
}

TEST_CASE("Utf8: a stream prints all but a sequence still to be completed", "[text]") {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
  const std::vector<std::size_t> whole = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
  for (std::size_t n = 0; n <= text.size(); ++n) {
    CHECK(complete_utf8_prefix(text.substr(0, n)) == whole[n]);
  }
  // What no further byte could make well-formed is not held back.
  CHECK(complete_utf8_prefix("a\xff") == 2);
  CHECK(complete_utf8_prefix("a\xc0") == 2);
  CHECK(complete_utf8_prefix("a\xe0\x80") == 3);
  CHECK(complete_utf8_prefix("a\xed\xa0") == 3);
  CHECK(complete_utf8_prefix("\x80\x80\x80\x80") == 4);
}
