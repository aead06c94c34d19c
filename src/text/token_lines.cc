#include "sluice/text/token_lines.h"

#include <algorithm>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::text {

bool each_line(const TokenFile& tokens,
               const std::function<bool(std::uint64_t begin, std::uint64_t end)>& line) {
  constexpr std::uint64_t kBlock = 8192;
  const std::uint64_t lines = tokens.counts().lines;
  std::vector<std::uint64_t> starts;
  std::uint64_t begin = 0;  // of the line before starts[0]
  for (std::uint64_t first = 0; first < lines; first += starts.size()) {
    starts.resize(std::min(kBlock, lines - first));
    tokens.read_line_starts(first, starts);
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const bool fits = first + i == 0 ? starts[i] == 0 : starts[i] > begin;
      if (!fits || starts[i] >= tokens.size()) {
        throw Error(ExitCode::kBadData,
                    "{}: line {}: wrong start (expected above {} and below {}, found {})",
                    printable(tokens.path()), first + i + 1, begin, tokens.size(), starts[i]);
      }
      if (first + i > 0 && !line(begin, starts[i])) return false;
      begin = starts[i];
    }
  }
  return line(begin, tokens.size());
}

std::uint64_t longest_line(const TokenFile& tokens) {
  std::uint64_t longest = 0;
  each_line(tokens, [&](std::uint64_t begin, std::uint64_t end) {
    longest = std::max(longest, end - begin);
    return true;
  });
  return longest;
}

}  // namespace sluice::text
