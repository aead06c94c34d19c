#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sluice/formats/safetensors.h"
#include "sluice/text/corpus.h"
#include "sluice/text/token_file.h"

namespace sluice::text {

// What the metadata of a token file says. Numbers are decimal, hashes 16 hexadecimal digits.
struct TokenFileHeader {
  std::uint64_t tokenizer_hash = 0, corpus_hash = 0;
  std::uint64_t vocabulary = 0, oov = 0, literal_unknowns = 0;
  CorpusCounts counts;
  LineRange range;
  // How malformed bytes were read; kError when there are none, and the way does not matter.
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
};

inline constexpr std::string_view kTokenFileVersion = "3";
inline constexpr std::uint64_t kNarrowVocabulary = 65536;  // ids are U16 up to this size

formats::Metadata to_metadata(const TokenFileHeader& header);
// Error kBadData naming `path`.
TokenFileHeader parse_token_file_header(const formats::Metadata& metadata, std::string_view path);

// The tensor "files": a row for each file, a column for each count.
inline constexpr std::size_t kFileColumns = 10;
std::vector<std::uint64_t> to_rows(const std::vector<FileTokens>& files);
std::vector<FileTokens> from_rows(std::span<const std::uint64_t> rows);

}  // namespace sluice::text
