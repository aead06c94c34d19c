#include "sluice/text/corpus.h"

#include <algorithm>
#include <cmath>

#include "corpus_reader.h"
#include "sluice/base/error.h"
#include "words.h"

namespace sluice::text {

CorpusCounts read_corpus(const std::vector<std::string>& files,
                         const std::function<void(std::string_view line)>& line) {
  CorpusCounts counts;
  scan_corpus(files, nullptr, [&](const CorpusLine& found) {
    add_line(found, counts);
    line(found.text);
  });
  return counts;
}

std::uint64_t count_words(std::string_view line) {
  std::uint64_t count = 0;
  for_each_word(line, [&count](std::string_view) { ++count; });
  return count;
}

std::uint64_t count_lines(const std::vector<std::string>& files) {
  require_regular(files);
  std::uint64_t lines = 0;
  bool unterminated = false;
  scan_bytes(files, [&](std::size_t, std::string_view bytes) {
    lines += static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
    if (!bytes.empty()) unterminated = bytes.back() != '\n';
    if (bytes.empty() && unterminated) {
      ++lines;
      unterminated = false;
    }
  });
  return lines;
}

LineSplit split_lines(const std::vector<std::string>& files, double valid_fraction) {
  const std::uint64_t lines = count_lines(files);
  const double wanted = std::round(static_cast<double>(lines) * valid_fraction);
  const std::uint64_t valid = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(wanted));
  if (valid >= lines) {
    throw Error(ExitCode::kBadData,
                "{}: too few lines to hold {} of them back for validation (expected at least 2 and "
                "some for either side, found {}); give validation text of its own (data.valid)",
                corpus_name(files), valid_fraction, lines);
  }
  return {{0, lines - valid}, {lines - valid, lines}};
}

}  // namespace sluice::text
