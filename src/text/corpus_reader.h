#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "line_cutter.h"
#include "sluice/base/file.h"
#include "sluice/text/corpus.h"

// What read_corpus is made of; token files need the raw bytes as well, to hash them.
namespace sluice::text {

// Bytes of file number `file`, in order; at least one block per file, the last without bytes.
struct CorpusBlock {
  std::size_t file = 0;
  std::string_view bytes;  // unpacked
  bool packed = false;     // whether the file is
  std::uint64_t read = 0;  // bytes of all files, packed as they may be, read so far
};
using VisitBlock = std::function<void(const CorpusBlock& block)>;

// Error kNoInput, and kBadData for damaged gzip files and those that change meanwhile.
void scan_bytes(const std::vector<std::string>& files, const VisitBlock& visit);
// Both at once: blocks before the pieces they complete. Errors as read_corpus.
void scan_corpus(const Corpus& corpus, const VisitBlock& block, const VisitPiece& piece);

// Whether all are regular files: sizes are known and reading them twice gives the same. Error
// kNoInput when one is missing.
bool all_regular(const std::vector<std::string>& files);
std::uint64_t total_bytes(const std::vector<std::string>& files);  // 0 unless all_regular

// The hash of a corpus: the checksum of its file, or of the checksums of its files, a line each;
// of gzip files that of what they hold.
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
