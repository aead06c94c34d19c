#pragma once

#include <memory>

#include "sluice/text/tokenizer.h"
#include "vocabulary.h"

namespace sluice::text {

// Ids: </s>, <unk>, then code points. Stored form after the first line: "entries N", then N code
// points in upper-case hexadecimal, a line each, in the order of their ids.
std::unique_ptr<TokenizerTrainer> make_char_trainer(const TokenizerConfig& config);
std::unique_ptr<Tokenizer> restore_char_tokenizer(StoredLines& lines);

}  // namespace sluice::text
