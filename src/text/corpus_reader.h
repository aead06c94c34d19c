#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/file.h"
#include "sluice/text/corpus.h"

// What read_corpus is made of; token files need the raw bytes as well, to hash them.
namespace sluice::text {

// One line as it stands in its file.
struct CorpusLine {
  std::string_view text;  // valid UTF-8 without LF and without byte order mark
  bool byte_order_mark = false;
  bool terminated = true;  // by LF
};

void add_line(const CorpusLine& line, CorpusCounts& counts);

// Receives the bytes of file number `file` in order; called at least once per file, with nothing
// for an empty one.
using VisitBytes = std::function<void(std::size_t file, std::string_view bytes)>;
using VisitLine = std::function<void(const CorpusLine& line)>;

// Error kNoInput.
void scan_bytes(const std::vector<std::string>& files, const VisitBytes& visit);
// Both at once: bytes before the lines they complete. Errors as read_corpus.
void scan_corpus(const Corpus& corpus, const VisitBytes& bytes, const VisitLine& line);

// Whether all are regular files: sizes are known and reading them twice gives the same. Error
// kNoInput when one is missing.
bool all_regular(const std::vector<std::string>& files);
// Error kNoInput, naming the file, when one is not regular.
void require_regular(const std::vector<std::string>& files);
std::uint64_t total_bytes(const std::vector<std::string>& files);  // 0 unless all_regular

// The hash of a corpus: the checksum of its file, or of the checksums of its files, a line each.
class CorpusHash {
 public:
  void add(std::size_t file, std::string_view bytes);
  std::uint64_t value();  // ends the last file

 private:
  void end_file();
  std::optional<Checksum> current_;
  std::size_t file_ = 0;
  std::vector<std::uint64_t> files_;
};
std::uint64_t hash_corpus(const std::vector<std::string>& files);

// How a corpus is named in messages: its only file, or the first and the number of the others.
std::string corpus_name(const std::vector<std::string>& files);

}  // namespace sluice::text
