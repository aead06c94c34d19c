#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "corpus_reader.h"
#include "sluice/base/thread_pool.h"
#include "sluice/formats/safetensors.h"
#include "sluice/text/tokenizer.h"
#include "spill.h"
#include "token_format.h"

namespace sluice::text {

// The lines of a range as they will stand in a token file, before it has its name: that depends on
// the hash of the text, which for pipes is known only at the end. In memory: some chunks of text.
class EncodedCorpus {
 public:
  // `pool` may be null. Error kOutput when `directory` cannot hold temporary files.
  EncodedCorpus(const Tokenizer& tokenizer, LineRange range, const std::string& directory,
                ThreadPool* pool = nullptr);

  // Once. `progress(done_bytes, total_bytes)` may be null. Errors as read_corpus, and kBadData when
  // there is nothing to predict.
  void encode(const Corpus& corpus,
              const std::function<void(std::uint64_t, std::uint64_t)>& progress);
  // After encode(), with to_metadata(header()) in the writer.
  void write(formats::SafetensorsWriter&& writer);
  const TokenFileHeader& header() const { return header_; }
  const std::vector<FileTokens>& files() const { return files_; }

 private:
  // Pieces of one file that one thread encodes; the text alone decides where a chunk ends.
  struct Chunk {
    struct Piece {
      std::size_t end;  // of its text
      bool begins, ends;
    };
    std::size_t file = 0;
    std::string text;
    std::vector<Piece> pieces;
    // What becomes of them.
    std::vector<std::byte> ids;              // as in the file
    std::vector<std::uint64_t> line_starts;  // counted from the chunk's first token
    std::uint64_t tokens = 0, oov = 0, literal_unknowns = 0;
    void clear();
  };

  void add(const CorpusPiece& piece);
  void encode_chunk(Chunk& chunk, Encoding& encoding) const;
  void flush();

  const Tokenizer& tokenizer_;
  const bool narrow_;
  ThreadPool* pool_;
  Spill ids_, line_starts_;
  TokenFileHeader header_;
  std::vector<FileTokens> files_;
  std::vector<Chunk> chunks_;
  std::size_t used_ = 0, waiting_bytes_ = 0;  // of the chunks
  std::vector<Encoding> encodings_;           // one for each thread
  std::uint64_t tokens_ = 0;
};

}  // namespace sluice::text
