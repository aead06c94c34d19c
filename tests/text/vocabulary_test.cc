#include "src/text/vocabulary.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/text/text_files.h"
#include "tests/text/tokenizer_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

TEST_CASE("Vocabulary: forms by descending count, ties by the form, limited both ways", "[text]") {
  const std::vector<std::pair<std::string, std::uint64_t>> counted = {
      {"b", 2}, {"a", 2}, {"rare", 1}, {"most", 9}};
  TokenizerConfig config;
  CHECK(select_forms(counted, config, "words") ==
        std::vector<std::string>{"most", "a", "b", "rare"});
  config.min_count = 2;
  CHECK(select_forms(counted, config, "words") == std::vector<std::string>{"most", "a", "b"});
  config.vocab_size = 4;  // </s> and <unk> are two of them
  CHECK(select_forms(counted, config, "words") == std::vector<std::string>{"most", "a"});
}

TEST_CASE("Tokenizer: a vocabulary of nothing is refused", "[text]") {
  check_error(ExitCode::kBadData, {"words"}, [] { train(kWord, {"", "  \t"}); });
  check_error(ExitCode::kBadData, {"words"}, [] { train(kWord, {"<unk> <unk>"}, true); });
  check_error(ExitCode::kBadData, {"characters"}, [] { train(kChar, {}); });
  TokenizerConfig config = kWord;
  config.min_count = 3;
  check_error(ExitCode::kBadData, {"min_count", "3 times"}, [&] { train(config, {"a a b"}); });
  config = kChar;
  config.vocab_size = 2;
  check_error(ExitCode::kUsage, {"tokenizer.vocab_size: no room", "expected 3 or more, found 2"},
              [&] { train(config, {"a a b"}); });
}

TEST_CASE("StoredLines: lines, numbers and the end", "[text]") {
  StoredLines lines("first\n\nsize 12\n", "source");
  CHECK(lines.next("a line") == "first");
  CHECK(lines.next("a line").empty());
  CHECK(lines.next_number("size") == 12);
  CHECK(lines.bytes_left() == 0);
  CHECK_NOTHROW(lines.expect_end());
  check_error(ExitCode::kBadData, {"source: offset 15:", "expected more, found the end"},
              [&] { lines.next("more"); });
  const std::string raw("size 3\n\n\0x", 10);
  StoredLines mixed(raw, "source");
  CHECK(mixed.next_number("size") == 3);
  CHECK(mixed.rest() == raw.substr(7));
  CHECK_NOTHROW(mixed.expect_end());
}

TEST_CASE("StoredLines: complaints name the source and where", "[text]") {
  for (const std::string line :
       {"size 0", "size 01", "size -1", "size +1", "size 1.0", "size ", "size", "size  1",
        "size 1 ", "Size 1", "size 268435457", "size 9223372036854775808", ""}) {
    const std::string bytes = "x\n" + line + "\n";  // lines point into it
    StoredLines lines(bytes, "source");
    lines.next("a line");
    check_error(ExitCode::kBadData, {"source: offset 2:", "'size N'", "\"" + line + "\""},
                [&] { lines.next_number("size"); });
  }
  StoredLines lines("first\nsecond",
                    "sour\x1b"
                    "ce");
  lines.next("a line");
  check_error(ExitCode::kBadData, {"sour\\u{1b}ce: offset 6:", "without its end"},
              [&] { lines.next("a line"); });
  check_error(ExitCode::kBadData, {"offset 6:", "6 more bytes"}, [&] { lines.expect_end(); });
}
