#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "corpus_reader.h"
#include "sluice/formats/safetensors.h"
#include "sluice/text/tokenizer.h"
#include "spill.h"
#include "token_format.h"

namespace sluice::text {

// The lines of a range as they will stand in a token file, before it has its name: that depends on
// the hash of the text, which for pipes is known only at the end. In memory: one line.
class EncodedCorpus {
 public:
  // Error kOutput when `directory` cannot hold temporary files.
  EncodedCorpus(const Tokenizer& tokenizer, LineRange range, const std::string& directory);

  // Once. `progress(done_bytes, total_bytes)` may be null. Errors as read_corpus, and kBadData when
  // there is nothing to predict.
  void encode(const Corpus& corpus,
              const std::function<void(std::uint64_t, std::uint64_t)>& progress);
  // After encode(), with to_metadata(header()) in the writer.
  void write(formats::SafetensorsWriter&& writer);
  const TokenFileHeader& header() const { return header_; }

 private:
  void add(const CorpusLine& line);
  void add_id(int id);

  const Tokenizer& tokenizer_;
  const bool narrow_;
  Spill ids_, line_starts_;
  TokenFileHeader header_;
  std::uint64_t tokens_ = 0;
  Encoding encoding_;
};

}  // namespace sluice::text
