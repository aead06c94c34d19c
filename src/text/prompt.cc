#include "sluice/text/prompt.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

// A character tokenizer has one id per character of the prompt.
void refuse_unknown_characters(std::string_view prompt, const Encoding& encoding,
                               const Tokenizer& tokenizer, const std::string& source) {
  for (std::size_t i = 0, offset = 0; i < encoding.ids.size(); ++i) {
    const std::size_t length = utf8_length(prompt.substr(offset));
    if (encoding.oov[i]) {
      throw Error(ExitCode::kBadData,
                  "{}: offset {}: \"{}\" is not among the {} characters that the model knows",
                  source, offset, prompt.substr(offset, length), tokenizer.size() - 2);
    }
    offset += length;
  }
}

}  // namespace

Prompt encode_prompt(std::string_view prompt, const Tokenizer& tokenizer,
                     const std::string& source) {
  if (const auto bad = find_invalid_utf8(prompt)) {
    throw Error(ExitCode::kBadData, "{}: offset {}: not UTF-8", source, *bad);
  }
  Encoding encoding;
  for (std::size_t begin = 0; begin <= prompt.size();) {
    const std::size_t end = std::min(prompt.find('\n', begin), prompt.size());
    tokenizer.encode(prompt.substr(begin, end - begin), encoding);
    if (end < prompt.size()) {
      encoding.ids.push_back(tokenizer.end_of_line());
      encoding.oov.push_back(false);
    }
    begin = end + 1;
  }
  if (tokenizer.type() == TokenizerType::kChar) {
    refuse_unknown_characters(prompt, encoding, tokenizer, source);
  }
  const auto unknown = std::count(encoding.oov.begin(), encoding.oov.end(), true);
  return {.ids = std::move(encoding.ids), .unknown = static_cast<std::size_t>(unknown)};
}

}  // namespace sluice::text
