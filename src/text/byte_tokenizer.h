#pragma once

#include <memory>

#include "sluice/text/tokenizer.h"
#include "vocabulary.h"

namespace sluice::text {

// Ids 0..255 are the values of the bytes; LF, which no line holds, is </s>. Nothing to train and
// nothing unknown.
std::unique_ptr<TokenizerTrainer> make_byte_trainer();
std::unique_ptr<Tokenizer> restore_byte_tokenizer(StoredLines& lines);

}  // namespace sluice::text
