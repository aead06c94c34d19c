#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/text/utf8.h"

namespace sluice::text {

// SentencePiece's sign for a space, and its sign for an unknown character while it trains.
inline constexpr std::string_view kSpaceMark = "\xe2\x96\x81", kUnknownMark = "\xe2\x96\x85";

// Length of the word at the start of `text`: a run of spaces (maybe none) and the non-spaces behind
// it. No piece that keeps its spaces in front reaches across the end of a word.
inline std::size_t word_length(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size() && text[i] == ' ') ++i;
  const std::size_t end = text.find(' ', i);
  return end == std::string_view::npos ? text.size() : end;
}

// Length of the longest start of `text` of at most `limit` bytes that cuts no character.
inline std::size_t whole_characters(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text.size();
  return std::max<std::size_t>(1, complete_utf8_prefix(text.substr(0, limit)));
}

// Words and their ids, for a thread that meets the same words over and over. When it is full it
// starts anew.
class WordCache {
 public:
  struct Ids {
    const int* begin = nullptr;
    const int* end = nullptr;
  };
  // `owner` tells tokenizers apart: another one's words are forgotten.
  void use_for(std::uint64_t owner);
  // The ids of a word; both nullptr when it is not known.
  Ids find(std::string_view word, std::uint64_t hash) const;
  void add(std::string_view word, std::uint64_t hash, const int* begin, const int* end);

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t text = 0, size = 0, ids = 0, count = 0;  // count 0: empty
  };
  void clear();

  std::uint64_t owner_ = 0;
  std::size_t used_ = 0;
  std::vector<Slot> slots_;
  std::string texts_;
  std::vector<int> ids_;
};

}  // namespace sluice::text
