#include "sluice/text/corpus.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

using Lines = std::vector<std::string>;

Lines lines_of(const std::vector<std::string>& files, CorpusCounts* counts = nullptr) {
  Lines lines;
  const CorpusCounts found =
      read_corpus(files, [&lines](const LinePiece& piece) { lines.emplace_back(piece.text); });
  if (counts != nullptr) *counts = found;
  return lines;
}

}  // namespace

TEST_CASE("Corpus: files are read in order, line by line, and everything is counted", "[text]") {
  const ScratchFolder folder;
  const auto first = folder.write("first", "a b\n\n  caf\xc3\xa9 \n");
  const auto second = folder.write("second", "last line");
  const auto empty = folder.write("empty", "");
  CorpusCounts counts;
  CHECK(lines_of({first, empty, second, first}, &counts) ==
        Lines{"a b", "", "  caf\xc3\xa9 ", "last line", "a b", "", "  caf\xc3\xa9 "});
  CHECK(counts == CorpusCounts{.bytes = 14 + 9 + 14, .chars = 13 + 9 + 13, .lines = 7, .words = 8});
  CHECK(lines_of({second, first})[0] == "last line");
}

TEST_CASE("Corpus: odd characters are ordinary", "[text]") {
  const ScratchFolder folder;
  const std::string odd("a\r\nb\rc\n\0d\n\t\v\f\n\xc2\x85\xe2\x80\xa8\xc2\xa0\xef\xbf\xbd\n", 25);
  CorpusCounts counts;
  CHECK(lines_of({folder.write("odd", odd)}, &counts) ==
        Lines{"a\r", "b\rc", std::string("\0d", 2), "\t\v\f",
              "\xc2\x85\xe2\x80\xa8\xc2\xa0\xef\xbf\xbd"});
  CHECK(counts == CorpusCounts{.bytes = 25, .chars = 19, .lines = 5, .words = 5});
}

TEST_CASE("Corpus: a byte order mark is dropped at the start of a file only", "[text]") {
  const ScratchFolder folder;
  const auto marked = folder.write("marked",
                                   "\xef\xbb\xbf"
                                   "a\n\xef\xbb\xbf"
                                   "b\n");
  CorpusCounts counts;
  CHECK(lines_of({marked, marked}, &counts) == Lines{"a",
                                                     "\xef\xbb\xbf"
                                                     "b",
                                                     "a",
                                                     "\xef\xbb\xbf"
                                                     "b"});
  CHECK(counts == CorpusCounts{.bytes = 20, .chars = 12, .lines = 4, .words = 4});
}

TEST_CASE("Corpus: lines longer than any buffer arrive whole", "[text]") {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 300000; ++i) text += "\xe2\x82\xac";
  const std::string line = text;
  text += "\nshort\n" + line;
  CorpusCounts counts;
  CHECK(lines_of({folder.write("long", text)}, &counts) == Lines{line, "short", line});
  CHECK(counts.bytes == text.size());
  CHECK(counts.chars == 600007);
}

TEST_CASE("Corpus: text without text is refused", "[text]") {
  const ScratchFolder folder;
  for (const std::string content : {"", "\n", "\n\n\n", "\xef\xbb\xbf", "\xef\xbb\xbf\n"}) {
    const auto file = folder.write("empty", content);
    check_error(ExitCode::kBadData, {file, "empty"}, [&] { lines_of({file}); });
  }
  check_error(ExitCode::kBadData, {"empty"}, [] { lines_of({}); });
  CHECK(lines_of({folder.write("space", " ")}) == Lines{" "});
}

TEST_CASE("Corpus: invalid UTF-8 is named with file and offset", "[text]") {
  const ScratchFolder folder;
  for (const std::string bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x82"}) {
    const auto file = folder.write("bad", "fine\nfine \xc3\xa9 " + bad);
    const auto good = folder.write("good", "fine\n");
    Lines before;
    check_error(ExitCode::kBadData, {file + ": offset 13:", "UTF-8", "iconv"}, [&] {
      read_corpus({good, file},
                  [&before](const LinePiece& piece) { before.emplace_back(piece.text); });
    });
    CHECK(before == Lines{"fine", "fine"});
  }
  const auto late = folder.write("late", std::string(1000000, 'x') + "\n\xc3\n");
  check_error(ExitCode::kBadData, {late + ": offset 1000001:", "0xc3"}, [&] { lines_of({late}); });
}

TEST_CASE("Corpus: other encodings and compressed files are named", "[text]") {
  const ScratchFolder folder;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {std::string("\xff\xfe"
                   "a\0\n\0",
                   6),
       "UTF-16"},
      {std::string("\xfe\xff\0a\0\n", 6), "UTF-16"},
      {"\x1f\x8b\x08 rest", "gzip"},
      {std::string("\xfd"
                   "7zXZ\0",
                   6),
       "xz"},
      {"\x28\xb5\x2f\xfd rest", "zstd"}};
  for (const auto& [content, name] : cases) {
    const auto file = folder.write("other", content);
    check_error(ExitCode::kBadData, {file + ": offset 0:", name}, [&] { lines_of({file}); });
  }
}

TEST_CASE("Corpus: what cannot be read is named", "[text]") {
  const ScratchFolder folder;
  const auto good = folder.write("good", "text\n");
  const auto missing = folder.path("missing");
  check_error(ExitCode::kNoInput, {missing, "No such file"}, [&] { lines_of({good, missing}); });
  const auto directory = folder.path("");
  check_error(ExitCode::kNoInput, {directory, "directory"}, [&] { lines_of({directory}); });
  check_error(ExitCode::kNoInput, {directory}, [&] { count_lines({directory}); });
  check_error(ExitCode::kNoInput, {missing}, [&] { count_lines({missing}); });
}

TEST_CASE("Corpus: a pipe is read once, but not twice", "[text]") {
  const ScratchFolder folder;
  const auto pipe = folder.path("pipe");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::thread writer([&pipe] {
    const int fd = ::open(pipe.c_str(), O_WRONLY);
    for (const std::string_view part : {"on", "e\ntw", "o \xc3", "\xa9\nthree"}) {
      if (::write(fd, part.data(), part.size()) < 0) break;
    }
    ::close(fd);
  });
  const Lines lines = lines_of({pipe});
  writer.join();
  CHECK(lines == Lines{"one", "two \xc3\xa9", "three"});
  check_error(ExitCode::kNoInput, {pipe, "stream"}, [&] { split_lines({pipe}, 0.5); });
  check_error(ExitCode::kNoInput, {"standard input", "stream"}, [] { count_lines({"-"}); });
}

TEST_CASE("Corpus: minus is standard input", "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("text", "from\nstandard input\n");
  const int saved = ::dup(STDIN_FILENO);
  const int fd = ::open(file.c_str(), O_RDONLY);
  REQUIRE(::dup2(fd, STDIN_FILENO) == STDIN_FILENO);
  const Lines lines = lines_of({"-", file});
  ::dup2(saved, STDIN_FILENO);
  ::close(saved);
  ::close(fd);
  CHECK(lines == Lines{"from", "standard input", "from", "standard input"});
}

TEST_CASE("Corpus: words are counted as wc does", "[text]") {
  CHECK(count_words("") == 0);
  CHECK(count_words(" \t\v\f\r ") == 0);
  CHECK(count_words("one") == 1);
  CHECK(count_words("  one\ttwo\r three\v\f4 ") == 4);
  CHECK(count_words("no\xc2\xa0"
                    "break \xe3\x80\x80 ideographic") == 3);
}

TEST_CASE("Corpus: lines are counted and split", "[text]") {
  const ScratchFolder folder;
  const auto ten = folder.write("ten", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
  const auto open_end = folder.write("open", "11\n12");
  const auto empty = folder.write("empty", "");
  CHECK(count_lines({ten}) == 10);
  CHECK(count_lines({open_end, ten, empty, open_end}) == 14);
  CHECK(lines_of({open_end, ten, empty, open_end}).size() == 14);

  LineSplit split = split_lines({ten, open_end}, 0.25);
  CHECK(split.train == LineRange{0, 9});
  CHECK(split.valid == LineRange{9, 12});
  split = split_lines({open_end}, 0.05);  // rounds to none, but one there must be
  CHECK(split.train == LineRange{0, 1});
  CHECK(split.valid == LineRange{1, 2});

  const auto one = folder.write("one", "a single line, as text8 is\n");
  check_error(ExitCode::kBadData, {one, "found 1", "data.valid"},
              [&] { split_lines({one}, 0.05); });
  check_error(ExitCode::kBadData, {ten}, [&] { split_lines({ten}, 0.99); });
}
