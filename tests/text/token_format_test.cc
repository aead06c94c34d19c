#include "src/text/token_format.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

TokenFileHeader some_header() {
  TokenFileHeader header;
  header.tokenizer_hash = 0x123456789abcdef;
  header.corpus_hash = ~0ULL;
  header.vocabulary = 5;
  header.oov = 6;
  header.literal_unknowns = 7;
  header.counts = {.bytes = 8,
                   .chars = 9,
                   .lines = 10,
                   .words = 11,
                   .replaced = 13,
                   .malformed = 14,
                   .byte_order_marks = 15};
  header.range = {12, ~0ULL};
  header.invalid_utf8 = InvalidUtf8::kReplace;
  return header;
}

}  // namespace

TEST_CASE("TokenFormat: metadata are frozen", "[text]") {
  CHECK(to_metadata(some_header()) ==
        formats::Metadata{{"sluice.token_file", "3"},
                          {"sluice.invalid_utf8", "replace"},
                          {"sluice.tokenizer_hash", "0123456789abcdef"},
                          {"sluice.corpus_hash", "ffffffffffffffff"},
                          {"sluice.vocabulary", "5"},
                          {"sluice.oov", "6"},
                          {"sluice.literal_unknowns", "7"},
                          {"sluice.bytes", "8"},
                          {"sluice.chars", "9"},
                          {"sluice.lines", "10"},
                          {"sluice.words", "11"},
                          {"sluice.replaced", "13"},
                          {"sluice.malformed", "14"},
                          {"sluice.byte_order_marks", "15"},
                          {"sluice.range_begin", "12"},
                          {"sluice.range_end", "18446744073709551615"}});
}

TEST_CASE("TokenFormat: what is written is read", "[text]") {
  formats::Metadata metadata = to_metadata(some_header());
  metadata["added.by.others"] = "ignored";
  const TokenFileHeader header = parse_token_file_header(metadata, "file");
  CHECK(to_metadata(header) == to_metadata(some_header()));
  CHECK(header.counts == some_header().counts);
  CHECK(header.range == some_header().range);
  CHECK(header.invalid_utf8 == InvalidUtf8::kReplace);
}

TEST_CASE("TokenFormat: the rows of the files are frozen", "[text]") {
  const FileTokens first = {{.bytes = 1,
                             .chars = 2,
                             .lines = 3,
                             .words = 4,
                             .replaced = 5,
                             .malformed = 6,
                             .byte_order_marks = 7},
                            8,
                            9,
                            10};
  FileTokens second;
  second.oov = 11;
  const std::vector<std::uint64_t> rows = to_rows({first, second});
  CHECK(rows == std::vector<std::uint64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9,  10,  //
                                           0, 0, 0, 0, 0, 0, 0, 0, 11, 0});
  CHECK(from_rows(rows) == std::vector<FileTokens>{first, second});
}

TEST_CASE("TokenFormat: missing and bad values are refused by name", "[text]") {
  const formats::Metadata good = to_metadata(some_header());
  for (const auto& entry : good) {
    const std::string key = entry.first;
    formats::Metadata damaged = good;
    damaged.erase(key);
    check_error(ExitCode::kBadData, {"file: ", key, "found none"},
                [&] { parse_token_file_header(damaged, "file"); });
    for (const std::string bad : {"", " 1", "+1", "-1", "01", "1.0", "18446744073709551616",
                                  "0123456789ABCDEF", "0123456789abcdef0", "1\n"}) {
      damaged[key] = bad;
      check_error(ExitCode::kBadData, {"file: ", key},
                  [&] { parse_token_file_header(damaged, "file"); });
    }
  }
  for (const std::string size : {"0", "1", "268435457"}) {
    formats::Metadata damaged = good;
    damaged["sluice.vocabulary"] = size;
    check_error(ExitCode::kBadData, {"vocabulary", "found " + size},
                [&] { parse_token_file_header(damaged, "file"); });
  }
}
