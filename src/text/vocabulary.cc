#include "vocabulary.h"

#include <fmt/format.h>

#include "sluice/base/error.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

// C0 and C1 controls, the line and paragraph separators and the bidirectional overrides.
bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

void throw_empty_vocabulary(std::string_view forms, std::size_t distinct,
                            const TokenizerConfig& config) {
  if (config.vocab_size && *config.vocab_size <= kFirstForm) {
    throw Error(ExitCode::kBadData,
                "tokenizer.vocab_size {} leaves no room for {} beside </s> and <unk> (expected 3 "
                "or more)",
                *config.vocab_size, forms);
  }
  if (distinct == 0) {
    throw Error(ExitCode::kBadData, "no {} to build a vocabulary from (expected some, found none)",
                forms);
  }
  throw Error(ExitCode::kBadData,
              "none of the {} distinct {} occurs {} times (tokenizer.min_count); lower it",
              distinct, forms, config.min_count);
}

std::string visible(std::string_view text) {
  if (text == " ") return "U+0020";
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text.substr(i));
    const std::string_view sequence = text.substr(i, length);
    const char32_t code_point = decode_utf8(sequence);
    if (is_control(code_point)) {
      out += fmt::format("U+{:04X}", static_cast<std::uint32_t>(code_point));
    } else {
      out += sequence;
    }
    i += length;
  }
  return out;
}

std::string quoted(std::string_view found) {
  constexpr std::size_t kLongest = 40;
  std::string_view head = found.substr(0, kLongest);
  if (const auto invalid = find_invalid_utf8(head)) head = head.substr(0, *invalid);
  return fmt::format("'{}'{}", visible(head), head.size() < found.size() ? "..." : "");
}

StoredLines::StoredLines(std::string_view bytes, std::string source)
    : bytes_(bytes), source_(std::move(source)) {}

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
    fail(expected, quoted(line));
  }
  const std::string_view digits = line.substr(name.size() + 1);
  std::uint64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9' || digits.size() > 9) fail(expected, quoted(line));
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  if (digits[0] == '0' || value > kMaxVocabulary) fail(expected, quoted(line));
  return value;
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
