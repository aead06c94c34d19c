#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/text/text_config.h"

namespace sluice::text {

// A format of packed files, known by their first bytes.
struct PackedFormat {
  std::string_view signature, what, command;  // the command unpacks standard input
};
inline constexpr PackedFormat kGzip = {"\x1f\x8b", "a gzip file", "gzip -dc"};
inline constexpr std::array kPackedFormats = {
    kGzip,
    PackedFormat{"\xfd"
                 "7zXZ",
                 "an xz file", "xz -dc"},
    PackedFormat{"\x28\xb5\x2f\xfd", "a zstd file", "zstd -dc"},
    PackedFormat{"PK\x03\x04", "a zip archive", "funzip"},
    PackedFormat{"BZh", "a bzip2 file", "bzip2 -dc"}};

// A text: its files in order ("-" is standard input), and how they are read. A gzip file, known by
// its first bytes whatever its name, is the text that it unpacks to: everything that is said of a
// file's bytes, counts, offsets and hash is meant of these.
struct Corpus {
  Corpus() = default;
  Corpus(std::vector<std::string> files_, InvalidUtf8 invalid_utf8_ = InvalidUtf8::kError)
      : files(std::move(files_)), invalid_utf8(invalid_utf8_) {}
  Corpus(std::initializer_list<std::string> files_) : files(files_) {}

  std::vector<std::string> files;
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
};

// A line, or a part of one. Lines of more than 64 KB come in pieces, cut before a run of spaces,
// where no tokenizer of ours looks across (SentencePiece models of others may, if they have pieces
// with spaces inside); only where 1 MB holds no space before a run of other ASCII whitespace, and
// where it holds none of that between two characters of a word, which a word tokenizer then takes
// for several.
struct LinePiece {
  std::string_view text;  // without the LF and without byte order mark
  bool begins = true, ends = true;
  std::size_t file = 0;    // which of the corpus
  std::uint64_t read = 0;  // bytes of all files, packed as they may be, read so far
};

// What the files held, counted from their bytes. An unterminated last line of a file counts as a
// line and as ending in LF for tokens, but adds no byte and no character. A malformed byte is a
// character.
struct CorpusCounts {
  std::uint64_t bytes = 0, chars = 0, lines = 0;
  std::uint64_t words = 0;      // maximal runs of anything but ASCII whitespace
  std::uint64_t replaced = 0;   // malformed bytes that became U+FFFD
  std::uint64_t malformed = 0;  // malformed bytes handed on as they are
  std::uint64_t byte_order_marks = 0;
  CorpusCounts& operator+=(const CorpusCounts& other);
  bool operator==(const CorpusCounts&) const = default;
};

// Which lines of a corpus to take, counted over all files: all of them, or one side of split_lines.
struct LineRange {
  std::uint64_t begin = 0;
  std::uint64_t end = ~std::uint64_t{0};
  bool contains(std::uint64_t line) const { return line >= begin && line < end; }
  bool operator==(const LineRange&) const = default;
};

// The files that names stand for: a name with `*`, `?` or `[...]` stands for those that match it
// (POSIX glob), in the order of their bytes, unless a file of that very name is there; any other
// stands for itself, whether it exists or not. Error kNoInput when nothing matches.
std::vector<std::string> expand_files(const std::vector<std::string>& names);

// Error kNoInput, naming the file, when one is missing or not a regular file: for text that is read
// more than once.
void require_regular(const std::vector<std::string>& files);

// Reads a corpus as UTF-8 lines in memory bounded by the longest piece and calls `piece` for each.
// A UTF-8 byte order mark at the start of a file is dropped (it still counts as bytes and as a
// character); CR, NUL and the like are ordinary characters. `hash` gets the hash of the bytes,
// `files` the counts of each file; both may be null.
// Errors: kNoInput (missing, directory, unreadable), kBadData (empty corpus: no byte or nothing but
// LF; with InvalidUtf8::kError malformed UTF-8, with file and offsets; UTF-16 or compressed data
// other than gzip, named as such; gzip data that are damaged; a file that changes meanwhile).
CorpusCounts read_corpus(const Corpus& corpus,
                         const std::function<void(const LinePiece& piece)>& piece,
                         std::uint64_t* hash = nullptr, std::vector<CorpusCounts>* files = nullptr);

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
