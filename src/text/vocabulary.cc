#include "vocabulary.h"

#include <fmt/format.h>

#include "sluice/base/decimal.h"
#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::text {
namespace {

constexpr std::size_t kExcerptBytes = 40;

}  // namespace

void throw_empty_vocabulary(std::string_view forms, std::size_t distinct,
                            const TokenizerConfig& config) {
  if (distinct == 0) {
    throw Error(ExitCode::kBadData, "no {} to build a vocabulary from (expected some, found none)",
                forms);
  }
  throw Error(ExitCode::kBadData,
              "none of the {} distinct {} occurs {} times (tokenizer.min_count); lower it",
              distinct, forms, config.min_count);
}

StoredLines::StoredLines(std::string_view bytes, const std::string& source)
    : bytes_(bytes), source_(printable(source)) {}

std::string_view StoredLines::next(std::string_view expected) {
  line_start_ = offset_;
  const std::size_t end = bytes_.find('\n', offset_);
  if (end == std::string_view::npos) {
    fail(expected, bytes_left() == 0 ? "the end" : "a line without its end");
  }
  const std::string_view line = bytes_.substr(offset_, end - offset_);
  offset_ = end + 1;
  return line;
}

std::uint64_t StoredLines::next_number(std::string_view name) {
  const std::string_view line = next(name);
  const std::string expected = fmt::format("'{} N', N from 1 to {}", name, kMaxVocabulary);
  if (line.size() < name.size() + 2 || !line.starts_with(name) || line[name.size()] != ' ') {
    fail(expected, quote(line, kExcerptBytes));
  }
  const std::string_view digits = line.substr(name.size() + 1);
  const std::optional<Index> value = decimal_integer(digits);
  // What is stored is what serialise() writes: no leading zeros.
  if (!value || *value < 1 || static_cast<std::uint64_t>(*value) > kMaxVocabulary ||
      digits != std::to_string(*value)) {
    fail(expected, quote(line, kExcerptBytes));
  }
  return static_cast<std::uint64_t>(*value);
}

std::string_view StoredLines::rest() {
  line_start_ = offset_;
  offset_ = bytes_.size();
  return bytes_.substr(line_start_);
}

void StoredLines::expect_end() {
  line_start_ = offset_;
  if (bytes_left() != 0) fail("the end", fmt::format("{} more bytes", bytes_left()));
}

void StoredLines::fail(std::string_view what) const {
  throw Error(ExitCode::kBadData, "{}: offset {}: malformed tokenizer: {}", source_, line_start_,
              what);
}

void StoredLines::fail(std::string_view expected, std::string_view found) const {
  throw Error(ExitCode::kBadData, "{}: offset {}: malformed tokenizer (expected {}, found {})",
              source_, line_start_, expected, found);
}

}  // namespace sluice::text
