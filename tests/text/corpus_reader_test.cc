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
  CorpusCounts counts;
  scan_corpus(
      {first, empty, first},
      [&](std::size_t file, std::string_view block) {
        if (bytes[file].empty() && !block.empty()) CHECK(lines.size() == file);
        bytes[file] += block;
      },
      [&](const CorpusLine& line) {
        CHECK(line.byte_order_mark == (lines.size() % 2 == 0));
        CHECK(line.terminated == (lines.size() % 2 == 0));
        lines.emplace_back(line.text);
        add_line(line, counts);
      });
  CHECK(bytes == std::vector<std::string>{"\xef\xbb\xbf"
                                          "a\nb",
                                          "",
                                          "\xef\xbb\xbf"
                                          "a\nb"});
  CHECK(lines == std::vector<std::string>{"a", "b", "a", "b"});
  CHECK(counts.bytes == bytes[0].size() + bytes[2].size());
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
