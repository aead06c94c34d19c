#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/text/corpus.h"
#include "sluice/text/tokenizer.h"

namespace sluice::text {

// A corpus as token ids on disk: a safetensors file with "ids" (U16 when the vocabulary allows,
// else U32) and "line_starts" (U64: position of the first id of each line), and metadata: format
// version, tokenizer hash, corpus hash, counts. Tokenizer ids, never model ids. Read with pread, so
// a corpus may exceed memory.
class TokenFile {
 public:
  explicit TokenFile(const std::string& path);  // Error kNoInput, kBadData

  std::uint64_t size() const;  // tokens, </s> of every line included
  // Copies ids [begin, begin + out.size()); Error kBadData for an id outside the vocabulary.
  void read(std::uint64_t begin, std::span<int> out) const;

  const CorpusCounts& counts() const;
  std::uint64_t oov() const;               // forms outside the vocabulary
  std::uint64_t literal_unknowns() const;  // <unk> spelt in the text
  int vocabulary() const;
  std::uint64_t corpus_hash() const;  // over the bytes of the text
  std::uint64_t tokenizer_hash() const;
  // Occurrences of each id.
  std::vector<std::uint64_t> frequencies() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

// Which lines of a corpus to take: all of them, or the split that valid_fraction makes.
struct LineRange {
  std::uint64_t begin = 0;
  std::uint64_t end = ~std::uint64_t{0};
};

// Token file of the text in `cache_dir` (created if need be; empty: the user's cache directory),
// reused when one for the same text, range and tokenizer is there and valid, else encoded and
// written atomically. `progress(done_bytes, total_bytes)` may be null.
TokenFile tokenize(const std::vector<std::string>& files, LineRange range,
                   const Tokenizer& tokenizer, const std::string& cache_dir,
                   const std::function<void(std::uint64_t, std::uint64_t)>& progress);

// $XDG_CACHE_HOME/sluice or ~/.cache/sluice.
std::string default_cache_dir();

}  // namespace sluice::text
