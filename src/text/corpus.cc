#include "sluice/text/corpus.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <new>

#include "byte_source.h"
#include "corpus_reader.h"
#include "count_bytes.h"
#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "words.h"

namespace sluice::text {

namespace {

bool is_pattern(const std::string& name) { return name.find_first_of("*?[") != std::string::npos; }

bool exists(const std::string& name) {
  struct stat info {};
  return ::lstat(name.c_str(), &info) == 0;
}

void append_matches(const std::string& pattern, std::vector<std::string>& out) {
  glob_t found{};
  const int result = ::glob(pattern.c_str(), GLOB_ERR | GLOB_NOSORT, nullptr, &found);
  const int error = errno;
  const std::vector<std::string> names(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (result == 0) {
    const auto first = out.insert(out.end(), names.begin(), names.end());
    return std::sort(first, out.end());
  }
  if (result == GLOB_NOSPACE) throw std::bad_alloc();
  throw Error(ExitCode::kNoInput, "{}: {} (expected files that match, found {})",
              printable(pattern), result == GLOB_NOMATCH ? "no such file" : "cannot be looked up",
              result == GLOB_NOMATCH ? "none" : std::strerror(error));
}

}  // namespace

std::vector<std::string> expand_files(const std::vector<std::string>& names) {
  std::vector<std::string> files;
  for (const std::string& name : names) {
    if (is_pattern(name) && !exists(name)) {
      append_matches(name, files);
    } else {
      files.push_back(name);
    }
  }
  return files;
}

void require_regular(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    if (all_regular({file})) continue;
    throw Error(ExitCode::kNoInput,
                "{}: a stream can be read only once (expected a regular file); save the text to a "
                "file first",
                display_name(file));
  }
}

CorpusCounts& CorpusCounts::operator+=(const CorpusCounts& other) {
  bytes += other.bytes;
  chars += other.chars;
  lines += other.lines;
  words += other.words;
  replaced += other.replaced;
  malformed += other.malformed;
  byte_order_marks += other.byte_order_marks;
  return *this;
}

CorpusCounts read_corpus(const Corpus& corpus,
                         const std::function<void(const LinePiece& piece)>& piece,
                         std::uint64_t* hash, std::vector<CorpusCounts>* files) {
  std::vector<CorpusCounts> counts(corpus.files.size());
  CorpusHash bytes_hash;
  const auto add_bytes = [&](const CorpusBlock& block) { bytes_hash.add(block.file, block.bytes); };
  scan_corpus(corpus, hash == nullptr ? VisitBlock() : VisitBlock(add_bytes),
              [&](const CorpusPiece& found) {
                counts[found.file] += found.counts;
                piece(found);
              });
  if (hash != nullptr) *hash = bytes_hash.value();
  CorpusCounts total;
  for (const CorpusCounts& file : counts) total += file;
  if (files != nullptr) *files = std::move(counts);
  return total;
}

std::uint64_t count_words(std::string_view line) {
  if (line.empty()) return 0;
  const char* text = line.data();
  return (is_ascii_space(text[0]) ? 0 : 1) + count_places(1, line.size(), [text](std::size_t i) {
           return static_cast<unsigned>(is_ascii_space(text[i - 1])) &
                  static_cast<unsigned>(!is_ascii_space(text[i]));
         });
}

std::uint64_t count_lines(const Corpus& corpus) {
  require_regular(corpus.files);
  std::uint64_t lines = 0;
  bool unterminated = false;
  scan_bytes(corpus.files, [&](const CorpusBlock& block) {
    const std::string_view bytes = block.bytes;
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
