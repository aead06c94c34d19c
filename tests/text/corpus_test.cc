#include "sluice/text/corpus.h"

#include <fcntl.h>
#include <fmt/format.h>
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

TEST_CASE("count_words: as many as there are, whatever width the loop is compiled to", "[text]") {
  std::string line;
  for (std::size_t words = 0; words < 300; ++words) {
    CHECK(count_words(line) == words);
    line += (words % 3 == 0 ? " " : "\t ") + std::string(1 + words % 11, 'w');
  }
}

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
  CHECK(counts ==
        CorpusCounts{.bytes = 20, .chars = 12, .lines = 4, .words = 4, .byte_order_marks = 2});
}

// The pieces of each line, joined and apart.
struct Pieces {
  Lines lines;
  std::vector<Lines> parts;
  CorpusCounts counts;
  explicit Pieces(const Corpus& corpus) {
    bool begins = true;
    counts = read_corpus(corpus, [&](const LinePiece& piece) {
      CHECK(piece.begins == begins);
      begins = piece.ends;
      if (piece.begins) {
        lines.emplace_back();
        parts.emplace_back();
      }
      lines.back() += piece.text;
      parts.back().emplace_back(piece.text);
    });
    CHECK(begins);
  }
};

TEST_CASE("Corpus: a long line comes in pieces, cut before runs of whitespace", "[text]") {
  const ScratchFolder folder;
  std::string spaced;
  for (int i = 0; spaced.size() < 400000; ++i) {
    spaced += fmt::format("{}{}", i * 977, i % 7 == 0 ? " " : " \t ");
  }
  const std::string fits(65536, 'x');
  const std::string text = spaced + "\nshort\n" + fits + "\n" + spaced;
  const Pieces found({folder.write("long", text)});
  CHECK(found.lines == Lines{spaced, "short", fits, spaced});
  CHECK(found.counts.bytes == text.size());
  CHECK(found.counts.words == 2 * count_words(spaced) + 2);
  REQUIRE(found.parts[0].size() == 7);
  CHECK(found.parts[0] == found.parts[3]);
  CHECK(found.parts[1].size() == 1);
  CHECK(found.parts[2].size() == 1);
  for (std::size_t i = 0; i < 7; ++i) {
    const std::string& part = found.parts[0][i];
    CHECK(part.size() <= 65536);
    if (i > 0) CHECK(part.front() == ' ');
    if (i < 6) CHECK(part.size() > 65536 - 16);
    if (i < 6) CHECK(part.back() != ' ');
  }
}

TEST_CASE("Corpus: other whitespace is where a line is cut that has no space for long", "[text]") {
  const ScratchFolder folder;
  std::string tabs, spaced;
  for (int i = 0; i < 300000; ++i) tabs += fmt::format("{}.\r\t", i % 10);
  for (int i = 0; i < 5; ++i) spaced += tabs.substr(0, 200000) + " ";
  const Pieces found({folder.write("long", tabs + "\n" + spaced + "\n" + tabs.substr(0, 200000))});
  CHECK(found.lines == Lines{tabs, spaced, tabs.substr(0, 200000)});
  for (const std::string& part : found.parts[0]) {
    CHECK(part.size() <= 65536);
    if (&part != &found.parts[0].front()) CHECK(part.front() == '\r');
  }
  REQUIRE(found.parts[1].size() == 6);
  for (std::size_t i = 1; i < 6; ++i) CHECK(found.parts[1][i].front() == ' ');
  CHECK(found.parts[2].size() > 1);
  CHECK(found.counts.words ==
        count_words(tabs) + count_words(spaced) + count_words(tabs.substr(0, 200000)));
}

TEST_CASE("Corpus: a word is whole up to a megabyte, then it is cut between characters", "[text]") {
  const ScratchFolder folder;
  const std::string almost = std::string(1024 * 1024, 'y');
  std::string euros;
  for (int i = 0; i < 800000; ++i) euros += "\xe2\x82\xac";
  const auto file = folder.write("words", "some " + almost + " more\na " + euros + " b\n");
  const Pieces found({file});
  REQUIRE(found.parts[0].size() == 3);
  CHECK(found.parts[0][0] == "some");
  CHECK(found.parts[0][1] == " " + almost.substr(1));
  CHECK(found.parts[0][2] == "y more");
  REQUIRE(found.parts[1].size() == 5);
  CHECK(found.parts[1][0] == "a");
  CHECK(found.parts[1][1].size() == 1 + 3 * 349525);
  CHECK(found.parts[1][2].size() == 3 * 349525);
  CHECK(found.parts[1][3].size() == 3 * (800000 - 2 * 349525));
  CHECK(found.parts[1][4] == " b");
  // Each cut word is counted once.
  CHECK(found.counts.words == 6);
  CHECK(found.counts.chars == 5 + 1048576 + 5 + 1 + 2 + 800000 + 2 + 1);
  const Pieces exact({folder.write("exact", "a " + almost.substr(1) + " b")});
  CHECK(exact.parts[0] == Lines{"a", " " + almost.substr(1), " b"});
}

TEST_CASE("Corpus: the pieces are the same however the bytes arrive", "[text]") {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 30000; ++i) text += fmt::format("{}{}", std::string(i % 97, 'z'), "  ");
  const auto file = folder.write("whole", text), pipe = folder.path("pipe");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::thread writer([&] {
    const int fd = ::open(pipe.c_str(), O_WRONLY);
    for (std::size_t at = 0; at < text.size(); at += 1009) {
      const std::string part = text.substr(at, 1009);
      if (::write(fd, part.data(), part.size()) < 0) break;
    }
    ::close(fd);
  });
  const Pieces piped({pipe});
  writer.join();
  CHECK(piped.parts == Pieces({file}).parts);
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
  std::string text(1000000, 'x');
  text += "\n\xc3\n";
  const auto late = folder.write("late", text);
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

TEST_CASE("Corpus: an error lists the first malformed bytes and counts all of the file", "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("latin", "\xe9 a\n\xe8\xe7\nb \xff\xfe\xfd c\n\xe9");
  check_error(
      ExitCode::kBadData,
      {file + ": offset 0:", "found byte 0xe9", "malformed bytes: 7, at 0, 4, 5, 9, 10, ...)"},
      [&] { lines_of({file}); });
  const auto two = folder.write("two", "ab\xe9\n\xe9");
  check_error(ExitCode::kBadData, {"offset 2:", "malformed bytes: 2, at 2, 4)"},
              [&] { lines_of({two}); });
}

TEST_CASE("Corpus: malformed bytes are replaced or handed on, and counted", "[text]") {
  const ScratchFolder folder;
  // A stray byte, a sequence cut short, an overlong form, a surrogate; around characters.
  const std::string text = "a\xff\xc3\xa9 \xe2\x82\n\xc0\x80\xed\xa0\x80 z\n\xe2\x82";
  const auto file = folder.write("bad", text);
  const std::string r = "\xef\xbf\xbd";
  CorpusCounts counts;
  const auto read = [&](InvalidUtf8 mode) {
    Lines lines;
    counts = read_corpus(Corpus({file}, mode),
                         [&](const LinePiece& piece) { lines.emplace_back(piece.text); });
    return lines;
  };
  CHECK(read(InvalidUtf8::kReplace) ==
        Lines{"a" + r + "\xc3\xa9 " + r + r, r + r + r + r + r + " z", r + r});
  CorpusCounts expected = {.bytes = 18, .chars = 17, .lines = 3, .words = 5, .replaced = 10};
  CHECK(counts == expected);
  CHECK(read(InvalidUtf8::kBytes) ==
        Lines{"a\xff\xc3\xa9 \xe2\x82", "\xc0\x80\xed\xa0\x80 z", "\xe2\x82"});
  std::swap(expected.replaced, expected.malformed);
  CHECK(counts == expected);
  // UTF-16 and compressed files are none of them.
  folder.write("bad",
               "\xff\xfe"
               "a");
  check_error(ExitCode::kBadData, {"UTF-16"}, [&] { read(InvalidUtf8::kReplace); });
  check_error(ExitCode::kBadData, {"UTF-16"}, [&] { read(InvalidUtf8::kBytes); });
}

TEST_CASE("Corpus: a piece that is cut splits no malformed sequence from its count", "[text]") {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 700000; ++i) text += "\xe2\x82\xac\xe2\x82";
  Pieces found(Corpus({folder.write("mixed", text)}, InvalidUtf8::kBytes));
  CHECK(found.lines == Lines{text});
  CHECK(found.parts[0].size() == 4);
  CHECK(found.counts.malformed == 1400000);
  CHECK(found.counts.chars == 2100000);
  CHECK(found.counts.words == 1);
}

TEST_CASE("Corpus: each file is counted for itself", "[text]") {
  const ScratchFolder folder;
  const auto one = folder.write("one",
                                "\xef\xbb\xbf"
                                "a b\n\n"),
             two = folder.write("two", "c");
  std::vector<CorpusCounts> files;
  const CorpusCounts all = read_corpus(
      {one, two, one}, [](const LinePiece&) {}, nullptr, &files);
  REQUIRE(files.size() == 3);
  CHECK(files[0] ==
        CorpusCounts{.bytes = 8, .chars = 6, .lines = 2, .words = 2, .byte_order_marks = 1});
  CHECK(files[1] == CorpusCounts{.bytes = 1, .chars = 1, .lines = 1, .words = 1});
  CHECK(files[2] == files[0]);
  CHECK(all.bytes == 17);
  CHECK(all.byte_order_marks == 2);
}

TEST_CASE("Corpus: patterns stand for the files that match, in the order of their bytes",
          "[text]") {
  const ScratchFolder folder;
  for (const std::string name : {"b.txt", "B.txt", "a1.txt", "a.dat", "[1].txt", "*"}) {
    folder.write(name, "text");
  }
  const auto expand = [&](const Lines& names) {
    Lines paths, found;
    for (const std::string& name : names) paths.push_back(folder.path(name));
    for (const std::string& path : expand_files(paths)) {
      found.push_back(path.substr(folder.path("").size()));
    }
    return found;
  };
  CHECK(expand({"?.txt"}) == Lines{"B.txt", "b.txt"});
  CHECK(expand({"a*"}) == Lines{"a.dat", "a1.txt"});
  CHECK(expand({"[ab]*.txt", "b.txt"}) == Lines{"a1.txt", "b.txt", "b.txt"});
  CHECK(expand({"[1].txt"}) == Lines{"[1].txt"});  // there: not the pattern that means 1.txt
  CHECK(expand({"*"}) == Lines{"*"});
  CHECK(expand({"missing"}) == Lines{"missing"});
  CHECK(expand_files({"-", ""}) == Lines{"-", ""});
  check_error(ExitCode::kNoInput, {folder.path("c*"), "no such file"}, [&] { expand({"c*"}); });
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
