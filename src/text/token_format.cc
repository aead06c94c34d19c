#include "token_format.h"

#include <charconv>
#include <string>

#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"
#include "vocabulary.h"

namespace sluice::text {
namespace {

constexpr std::string_view kVersionKey = "sluice.token_file";

// The one list of fields, for writing and for reading.
template <class Header, class Number, class Hash>
void visit_fields(Header& header, const Number& number, const Hash& hash) {
  hash("sluice.tokenizer_hash", header.tokenizer_hash);
  hash("sluice.corpus_hash", header.corpus_hash);
  number("sluice.vocabulary", header.vocabulary);
  number("sluice.oov", header.oov);
  number("sluice.literal_unknowns", header.literal_unknowns);
  number("sluice.bytes", header.counts.bytes);
  number("sluice.chars", header.counts.chars);
  number("sluice.lines", header.counts.lines);
  number("sluice.words", header.counts.words);
  number("sluice.replaced", header.counts.replaced);
  number("sluice.malformed", header.counts.malformed);
  number("sluice.byte_order_marks", header.counts.byte_order_marks);
  number("sluice.range_begin", header.range.begin);
  number("sluice.range_end", header.range.end);
}

constexpr const char* kInvalidUtf8Key = "sluice.invalid_utf8";

// The columns of "files", in order; appended to with a new version only.
template <class File, class Number>
void visit_columns(File& file, const Number& number) {
  number(file.counts.bytes);
  number(file.counts.chars);
  number(file.counts.lines);
  number(file.counts.words);
  number(file.counts.replaced);
  number(file.counts.malformed);
  number(file.counts.byte_order_marks);
  number(file.tokens);
  number(file.oov);
  number(file.literal_unknowns);
}

class FieldReader {
 public:
  FieldReader(const formats::Metadata& metadata, std::string_view path)
      : metadata_(metadata), path_(printable(path)) {}

  const std::string& text(const char* key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) {
      throw Error(ExitCode::kBadData, "{}: not a token file (expected metadata '{}', found none)",
                  path_, key);
    }
    return found->second;
  }

  // Takes only what writing the value gives back: no sign, no leading zero, no space.
  std::uint64_t number(const char* key) const {
    const std::string& digits = text(key);
    const std::uint64_t value = parse(digits, 10);
    if (digits != std::to_string(value)) fail(key, "a decimal number below 2^64", digits);
    return value;
  }

  std::uint64_t hash(const char* key) const {
    const std::string& digits = text(key);
    const std::uint64_t value = parse(digits, 16);
    if (digits != to_hex(value)) fail(key, "16 lower-case hexadecimal digits", digits);
    return value;
  }

  InvalidUtf8 invalid_utf8() const {
    const std::string& found = text(kInvalidUtf8Key);
    for (const auto& [value, name] : enum_names<InvalidUtf8>) {
      if (name == found) return value;
    }
    fail(kInvalidUtf8Key, "error, replace or bytes", found);
  }

  [[noreturn]] void fail(const char* key, std::string_view expected, std::string_view found) const {
    throw Error(ExitCode::kBadData, "{}: metadata '{}': bad value (expected {}, found {})", path_,
                key, expected, quote(found, 40));
  }

 private:
  static std::uint64_t parse(const std::string& digits, int base) {
    std::uint64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    return value;
  }

  const formats::Metadata& metadata_;
  std::string path_;
};

}  // namespace

formats::Metadata to_metadata(const TokenFileHeader& header) {
  formats::Metadata metadata;
  metadata.emplace(kVersionKey, kTokenFileVersion);
  metadata.emplace(kInvalidUtf8Key, name_of(header.invalid_utf8));
  visit_fields(
      header,
      [&metadata](const char* key, std::uint64_t value) {
        metadata.emplace(key, std::to_string(value));
      },
      [&metadata](const char* key, std::uint64_t value) { metadata.emplace(key, to_hex(value)); });
  return metadata;
}

TokenFileHeader parse_token_file_header(const formats::Metadata& metadata, std::string_view path) {
  const FieldReader reader(metadata, path);
  const std::string& version = reader.text(kVersionKey.data());
  if (version != kTokenFileVersion) {
    reader.fail(kVersionKey.data(), "version 2, the only one that is read", version);
  }
  TokenFileHeader header;
  visit_fields(
      header, [&reader](const char* key, std::uint64_t& value) { value = reader.number(key); },
      [&reader](const char* key, std::uint64_t& value) { value = reader.hash(key); });
  header.invalid_utf8 = reader.invalid_utf8();
  if (header.vocabulary < 2 || header.vocabulary > kMaxVocabulary) {
    throw Error(ExitCode::kBadData, "{}: vocabulary size out of range (expected 2 to {}, found {})",
                path, kMaxVocabulary, header.vocabulary);
  }
  return header;
}

std::vector<std::uint64_t> to_rows(const std::vector<FileTokens>& files) {
  std::vector<std::uint64_t> rows;
  rows.reserve(files.size() * kFileColumns);
  for (const FileTokens& file : files) {
    visit_columns(file, [&rows](std::uint64_t value) { rows.push_back(value); });
  }
  return rows;
}

std::vector<FileTokens> from_rows(std::span<const std::uint64_t> rows) {
  std::vector<FileTokens> files(rows.size() / kFileColumns);
  auto next = rows.begin();
  for (FileTokens& file : files) {
    visit_columns(file, [&next](std::uint64_t& value) { value = *next++; });
  }
  return files;
}

}  // namespace sluice::text
