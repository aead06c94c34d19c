#include "sluice/text/prompt.h"

#include <algorithm>
#include <cstdint>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

// A character tokenizer has one id per character of the prompt.
void refuse_unknown_characters(std::string_view prompt, const Encoding& encoding,
                               const Tokenizer& tokenizer, const std::string& source,
                               std::size_t begin) {
  for (std::size_t i = 0, offset = 0; i < encoding.ids.size(); ++i) {
    const std::size_t length = utf8_length(prompt.substr(offset));
    if (encoding.oov[i]) {
      const std::string_view character = prompt.substr(offset, length);
      throw Error(ExitCode::kBadData,
                  "{}: offset {}: unknown to the model (expected its {} characters, found U+{:04X} "
                  "{})",
                  source, begin + offset, tokenizer.size() - 2,
                  static_cast<std::uint32_t>(decode_utf8(character)), quote(character));
    }
    offset += length;
  }
}

}  // namespace

Prompt encode_prompt(std::string_view prompt, const Tokenizer& tokenizer, const std::string& source,
                     std::size_t begin) {
  if (const auto bad = find_invalid_utf8(prompt)) {
    throw Error(ExitCode::kBadData, "{}: offset {}: not UTF-8 (expected text, found 0x{:02x})",
                source, begin + *bad, static_cast<unsigned char>(prompt[*bad]));
  }
  Encoding encoding;
  for (std::size_t line = 0; line <= prompt.size();) {
    const std::size_t end = std::min(prompt.find('\n', line), prompt.size());
    tokenizer.encode(prompt.substr(line, end - line), encoding);
    if (end < prompt.size()) {
      encoding.ids.push_back(tokenizer.end_of_line());
      encoding.oov.push_back(false);
    }
    line = end + 1;
  }
  if (tokenizer.type() == TokenizerType::kChar) {
    refuse_unknown_characters(prompt, encoding, tokenizer, source, begin);
  }
  const auto unknown = std::count(encoding.oov.begin(), encoding.oov.end(), true);
  return {.ids = std::move(encoding.ids), .unknown = static_cast<std::size_t>(unknown)};
}

}  // namespace sluice::text
