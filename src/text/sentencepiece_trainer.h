#pragma once

#include <memory>

#include "sluice/text/tokenizer.h"

namespace sluice::text {

// Trains a SentencePiece model that loses nothing: no normalisation, no space added or taken away,
// all 256 byte pieces for characters that have none. Ids: <unk> 0, </s> 1, the bytes, then the
// pieces, as the library orders them. Same text and config, same bytes.
//
// The library is given the distinct words and their counts (word_sample.h), so that frequent words
// weigh what they should, no line is too long for it and its memory stays bounded; of a large text
// those of a sample of the lines, which is noted. Words lose nothing by that: no piece reaches
// across a space.
//
// Without vocab_size the text decides: 1,000 pieces for 100 kB, 16,000 for 30 MB and more. At most
// half of the pieces are single characters; rarer ones are written as bytes, which is noted.
std::unique_ptr<TokenizerTrainer> make_sentencepiece_trainer(const TokenizerConfig& config,
                                                             const Note& note);

}  // namespace sluice::text
