#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/text/text_config.h"

namespace sluice::text {

// A text: its files in order ("-" is standard input), and how they are read.
struct Corpus {
  Corpus() = default;
  Corpus(std::vector<std::string> files_, InvalidUtf8 invalid_utf8_ = InvalidUtf8::kError)
      : files(std::move(files_)), invalid_utf8(invalid_utf8_) {}
  Corpus(std::initializer_list<std::string> files_) : files(files_) {}

  std::vector<std::string> files;
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
};

// A line, or what fits of it: long lines come in pieces, cut where no tokenizer looks across.
struct LinePiece {
  std::string_view text;  // without the LF
  bool begins = true, ends = true;
};

// What the files held, counted from their bytes. An unterminated last line of a file counts as a
// line and as ending in LF for tokens, but adds no byte and no character.
struct CorpusCounts {
  std::uint64_t bytes = 0, chars = 0, lines = 0,
                words = 0;  // words: maximal runs of non-whitespace
  bool operator==(const CorpusCounts&) const = default;
};

// Which lines of a corpus to take, counted over all files: all of them, or one side of split_lines.
struct LineRange {
  std::uint64_t begin = 0;
  std::uint64_t end = ~std::uint64_t{0};
  bool contains(std::uint64_t line) const { return line >= begin && line < end; }
  bool operator==(const LineRange&) const = default;
};

// Reads a corpus as UTF-8 lines in memory bounded by the longest line and calls `piece` for each,
// without its LF. A UTF-8 byte order mark at the start of a file is
// dropped (it still counts as bytes and as a character); CR, NUL and the like are ordinary
// characters. Errors: kNoInput (missing, directory, unreadable), kBadData (empty corpus: no byte or
// nothing but LF; invalid UTF-8 with file and offset; UTF-16 or compressed data, named as such).
CorpusCounts read_corpus(const Corpus& corpus,
                         const std::function<void(const LinePiece& piece)>& piece,
                         std::uint64_t* hash = nullptr);

// ASCII-whitespace-separated words of a line, as `wc -w` counts them.
std::uint64_t count_words(std::string_view line);

// Number of lines, without looking at what they hold. Error kNoInput as above, and for pipes and
// "-": what is read here is wanted again later.
std::uint64_t count_lines(const Corpus& corpus);

// The lines cut in two: the last `valid_fraction` (above 0, below 1) of them, rounded but at least
// one, validate; those before train. Error kBadData when either side is empty.
struct LineSplit {
  LineRange train, valid;
};
LineSplit split_lines(const Corpus& corpus, double valid_fraction);

}  // namespace sluice::text
