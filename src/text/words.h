#pragma once

#include <cstddef>
#include <string_view>

namespace sluice::text {

// The whitespace of `wc -w` in the C locale; no-break and other Unicode spaces belong to words.
constexpr bool is_ascii_space(char c) {
  // Without a branch, for loops that are to be vectorised.
  return static_cast<bool>(static_cast<int>(c == ' ') |
                           static_cast<int>(static_cast<unsigned char>(c - '\t') < 5));
}

// Calls visit(word) for each maximal run of non-whitespace.
template <class Visit>
void for_each_word(std::string_view line, Visit&& visit) {
  std::size_t i = 0;
  while (i < line.size()) {
    if (is_ascii_space(line[i])) {
      ++i;
      continue;
    }
    const std::size_t begin = i;
    while (i < line.size() && !is_ascii_space(line[i])) ++i;
    visit(line.substr(begin, i - begin));
  }
}

}  // namespace sluice::text
