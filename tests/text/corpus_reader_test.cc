#include "src/text/corpus_reader.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

TEST_CASE("CorpusReader: bytes come in order, before the lines they complete", "[text]") {
  const ScratchFolder folder;
  const auto first = folder.write("first",
                                  "\xef\xbb\xbf"
                                  "a\nb");
  const auto empty = folder.write("empty", "");
  std::vector<std::string> bytes(3);
  std::vector<std::string> lines;
  std::vector<CorpusCounts> counts(3);
  std::uint64_t read = 0;
  scan_corpus(
      {first, empty, first},
      [&](const CorpusBlock& block) {
        if (bytes[block.file].empty() && !block.bytes.empty()) CHECK(lines.size() == block.file);
        bytes[block.file] += block.bytes;
        read = block.read;
        CHECK_FALSE(block.packed);
      },
      [&](const CorpusPiece& piece) {
        CHECK(piece.counts.byte_order_marks == (lines.size() % 2 == 0 ? 1 : 0));
        CHECK(piece.file == (lines.size() < 2 ? 0 : 2));
        CHECK(piece.read == read);
        lines.emplace_back(piece.text);
        counts[piece.file] += piece.counts;
      });
  CHECK(bytes == std::vector<std::string>{"\xef\xbb\xbf"
                                          "a\nb",
                                          "",
                                          "\xef\xbb\xbf"
                                          "a\nb"});
  CHECK(lines == std::vector<std::string>{"a", "b", "a", "b"});
  CHECK(counts[0] ==
        CorpusCounts{.bytes = 6, .chars = 4, .lines = 2, .words = 2, .byte_order_marks = 1});
  CHECK(counts[1] == CorpusCounts{});
  CHECK(counts[2] == counts[0]);
  CHECK(read == 12);
}

TEST_CASE("CorpusReader: regular files and their size", "[text]") {
  const ScratchFolder folder;
  const auto three = folder.write("three", "abc");
  const auto pipe = folder.path("pipe");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(all_regular({three, three}));
  CHECK(total_bytes({three, three}) == 6);
  CHECK_NOTHROW(require_regular({three}));
  for (const std::string& stream : {pipe, std::string("-")}) {
    CHECK_FALSE(all_regular({three, stream}));
    CHECK(total_bytes({three, stream}) == 0);
    check_error(ExitCode::kNoInput, {"stream"}, [&] { require_regular({three, stream}); });
  }
  check_error(ExitCode::kNoInput, {folder.path("none")}, [&] {
    all_regular({"-", folder.path("none")});
  });
}

TEST_CASE("CorpusReader: the hash of a corpus tells its files apart", "[text]") {
  const ScratchFolder folder;
  const auto one = folder.write("one", "a\nb");
  const auto head = folder.write("head", "a"), tail = folder.write("tail", "\nb");
  CHECK(hash_corpus({one}) == checksum("a\nb"));
  CHECK(hash_corpus({head, tail}) ==
        checksum(to_hex(checksum("a")) + "\n" + to_hex(checksum("\nb")) + "\n"));
  CHECK(hash_corpus({tail, head}) != hash_corpus({head, tail}));
  CHECK(hash_corpus({one, one}) != hash_corpus({one}));
  const auto empty = folder.write("empty", "");
  CHECK(hash_corpus({one, empty}) != hash_corpus({one}));
}

TEST_CASE("CorpusReader: a corpus is named by its files", "[text]") {
  CHECK(corpus_name({"one"}) == "one");
  CHECK(corpus_name({"-"}) == "standard input");
  CHECK(corpus_name({"on\ne", "two", "three"}) == "on\\ne and 2 more");
}
