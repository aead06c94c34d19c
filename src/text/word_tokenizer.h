#pragma once

#include <memory>

#include "sluice/text/tokenizer.h"
#include "vocabulary.h"

namespace sluice::text {

// Ids: </s>, <unk>, then words: runs of anything but ASCII whitespace. A literal </s> in the text
// is a word like any other; so is a literal <unk> unless `unk_in_text`. Stored form after the first
// line: "unk_in_text true|false", "entries N", then N words, a line each, in the order of their
// ids.
std::unique_ptr<TokenizerTrainer> make_word_trainer(const TokenizerConfig& config,
                                                    bool unk_in_text);
std::unique_ptr<Tokenizer> restore_word_tokenizer(StoredLines& lines);

}  // namespace sluice::text
