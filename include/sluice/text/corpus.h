#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::text {

// What the files held, counted from their bytes. An unterminated last line counts as a line and as
// ending in LF for tokens, but adds no byte and no character.
struct CorpusCounts {
  std::uint64_t bytes = 0, chars = 0, lines = 0,
                words = 0;  // words: maximal runs of non-whitespace
};

// Reads files (in order, "-" is standard input) as UTF-8 lines in bounded memory and calls `line`
// for each, without its LF. A UTF-8 byte order mark at the start of a file is dropped (its bytes
// still count); CR is an ordinary character. Errors: kNoInput (missing, directory, unreadable),
// kBadData (empty corpus: no byte or nothing but LF; invalid UTF-8 with file and offset; UTF-16 or
// gzip, named as such).
CorpusCounts read_corpus(const std::vector<std::string>& files,
                         const std::function<void(std::string_view line)>& line);

// ASCII-whitespace-separated words of a line, as `wc -w` counts them.
std::uint64_t count_words(std::string_view line);

}  // namespace sluice::text
