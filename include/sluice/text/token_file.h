#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/thread_pool.h"
#include "sluice/text/corpus.h"
#include "sluice/text/tokenizer.h"

namespace sluice::text {

// What a file of a corpus came to, as far as its lines were taken. No line and no byte of them is
// ever skipped.
struct FileTokens {
  CorpusCounts counts;
  std::uint64_t tokens = 0;            // </s> of every line included
  std::uint64_t oov = 0;               // forms outside the vocabulary
  std::uint64_t literal_unknowns = 0;  // <unk> spelt in the text
  FileTokens& operator+=(const FileTokens& other);
  bool operator==(const FileTokens&) const = default;
};

// A corpus as token ids on disk: a safetensors file with "ids" (U16 when the vocabulary allows,
// else U32), "line_starts" (U64: position of the first id of each line) and "files" (U64: a row of
// counts for each file), and metadata: format version, tokenizer hash, corpus hash, counts.
// Tokenizer ids, never model ids. Read with pread, so a corpus may exceed memory.
class TokenFile {
 public:
  // Error kNoInput, kBadData: whatever does not fit together is refused before use.
  explicit TokenFile(const std::string& path);

  const std::string& path() const;
  std::uint64_t size() const;  // tokens, </s> of every line included
  // Copies ids [begin, begin + out.size()); Error kBadData for an id outside the vocabulary.
  void read(std::uint64_t begin, std::span<int> out) const;

  // Positions of the first ids of the lines from `first_line` on; there are counts().lines.
  void read_line_starts(std::uint64_t first_line, std::span<std::uint64_t> out) const;

  // Of all files together, and of each in the order of the corpus; their names are not kept.
  const CorpusCounts& counts() const;
  std::uint64_t oov() const;
  std::uint64_t literal_unknowns() const;
  const std::vector<FileTokens>& files() const;
  int vocabulary() const;
  // Over the bytes of the files: of one file its checksum, of several the checksum of theirs. The
  // whole corpus, whichever lines were taken.
  std::uint64_t corpus_hash() const;
  std::uint64_t tokenizer_hash() const;
  LineRange range() const;
  // How malformed bytes were read; kError when the text has none.
  InvalidUtf8 invalid_utf8() const;
  // Occurrences of each id.
  std::vector<std::uint64_t> frequencies() const;
  // Reads everything; Error kBadData when checksums are missing or wrong.
  void verify() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

// Whether tokenize() may leave a token file behind.
enum class Cache { kKeep, kReadOnly };

// Error kUsage, which begins with the name of the setting, when malformed bytes are to be handed on
// and the tokenizer has no tokens for them.
void check_carries_bytes(const Tokenizer& tokenizer, InvalidUtf8 invalid_utf8,
                         std::string_view name = "data.invalid_utf8");

// Token file of the text in `cache_dir` (created if need be; empty: default_cache_dir()). Reused
// when one for the same text, range and tokenizer is there and its checksums hold, else encoded and
// written atomically, in bounded memory; meanwhile the ids take their space in `cache_dir` twice.
// Pipes and "-" are read once and always encoded. `progress(done_bytes, total_bytes)` may be null;
// both count the bytes of the files, packed as they may be; the total is 0 for pipes. `pool` shares
// the encoding, null: this thread alone; the file is the same, byte for byte, for any number of
// threads. Errors: as read_corpus and check_carries_bytes(), and kBadData when the range holds no
// line or nothing but line ends, or a file changes while it is read; kOutput, naming
// data.cache_dir, when the cache cannot be written. Cache::kReadOnly uses what the cache holds but
// leaves nothing anywhere: a text that is not there is encoded in the system's temporary directory
// ($TMPDIR, which errors then name), in a file without a name that goes with the TokenFile.
TokenFile tokenize(const Corpus& corpus, LineRange range, const Tokenizer& tokenizer,
                   const std::string& cache_dir,
                   const std::function<void(std::uint64_t, std::uint64_t)>& progress,
                   Cache cache = Cache::kKeep, ThreadPool* pool = nullptr);

// $XDG_CACHE_HOME/sluice or ~/.cache/sluice. Error kOutput when the environment has neither.
std::string default_cache_dir();

}  // namespace sluice::text
