#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/text/tokenizer.h"

namespace sluice::text {

// The start of a text as tokenizer ids; LF is </s>, and none is added at the end.
struct Prompt {
  std::vector<int> ids;
  std::size_t unknown = 0;  // words that are read as <unk>
};

// Error kBadData naming `source`, in which the prompt begins at `begin`, where it is not UTF-8, or
// has a character that a character model does not know. An unknown word is <unk>, as in the texts
// that word models are trained on.
Prompt encode_prompt(std::string_view prompt, const Tokenizer& tokenizer, const std::string& source,
                     std::size_t begin = 0);

}  // namespace sluice::text
