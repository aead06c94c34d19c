#include "sluice/text/corpus.h"

#include <algorithm>
#include <cmath>

#include "corpus_reader.h"
#include "sluice/base/error.h"
#include "words.h"

namespace sluice::text {

CorpusCounts read_corpus(const Corpus& corpus,
                         const std::function<void(const LinePiece& piece)>& piece,
                         std::uint64_t* hash) {
  CorpusCounts counts;
  CorpusHash bytes_hash;
  const auto add_bytes = [&](std::size_t file, std::string_view bytes) {
    bytes_hash.add(file, bytes);
  };
  scan_corpus(corpus, hash == nullptr ? VisitBytes() : VisitBytes(add_bytes),
              [&](const CorpusLine& found) {
                add_line(found, counts);
                piece({found.text, true, true});
              });
  if (hash != nullptr) *hash = bytes_hash.value();
  return counts;
}

std::uint64_t count_words(std::string_view line) {
  std::uint64_t count = 0;
  for_each_word(line, [&count](std::string_view) { ++count; });
  return count;
}

std::uint64_t count_lines(const Corpus& corpus) {
  require_regular(corpus.files);
  std::uint64_t lines = 0;
  bool unterminated = false;
  scan_bytes(corpus.files, [&](std::size_t, std::string_view bytes) {
    lines += static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
    if (!bytes.empty()) unterminated = bytes.back() != '\n';
    if (bytes.empty() && unterminated) {
      ++lines;
      unterminated = false;
    }
  });
  return lines;
}

LineSplit split_lines(const Corpus& corpus, double valid_fraction) {
  const std::uint64_t lines = count_lines(corpus);
  const double wanted = std::round(static_cast<double>(lines) * valid_fraction);
  const std::uint64_t valid = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(wanted));
  if (valid >= lines) {
    throw Error(ExitCode::kBadData,
                "{}: too few lines to hold {} of them back for validation (expected at least 2 and "
                "some for either side, found {}); give validation text of its own (data.valid)",
                corpus_name(corpus.files), valid_fraction, lines);
  }
  return {{0, lines - valid}, {lines - valid, lines}};
}

}  // namespace sluice::text
