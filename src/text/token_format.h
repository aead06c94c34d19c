#pragma once

#include <cstdint>
#include <string_view>

#include "sluice/formats/safetensors.h"
#include "sluice/text/corpus.h"

namespace sluice::text {

// What the metadata of a token file says. Numbers are decimal, hashes 16 hexadecimal digits.
struct TokenFileHeader {
  std::uint64_t tokenizer_hash = 0, corpus_hash = 0;
  std::uint64_t vocabulary = 0, oov = 0, literal_unknowns = 0;
  CorpusCounts counts;
  LineRange range;
};

inline constexpr std::string_view kTokenFileVersion = "1";
inline constexpr std::uint64_t kNarrowVocabulary = 65536;  // ids are U16 up to this size

formats::Metadata to_metadata(const TokenFileHeader& header);
// Error kBadData naming `path`.
TokenFileHeader parse_token_file_header(const formats::Metadata& metadata, std::string_view path);

}  // namespace sluice::text
