#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "sluice/text/tokenizer.h"
#include "vocabulary.h"

namespace sluice::text {

// A SentencePiece model (Kudo and Richardson 2018) as a tokenizer. Ids are the model's; </s> is its
// eos piece or, without one, an id behind its pieces.
//
// What the library would lose goes around it, as byte pieces: NUL, bytes that are not UTF-8, and
// U+2581, which is its own sign for a space. A model without byte pieces has <unk> for these, out
// of vocabulary, and one <unk> for each run of characters that it does not know, as the library has
// it. Text never becomes a control piece.
//
// A line goes to the library in parts. Where spaces stand in front of pieces only (all models that
// are trained here), a part is a word, cut into 4 KB where it is longer; the ids are those of the
// whole line, but where two ways to cut a word score the same, which for a whole line is left to
// the rounding of its sums. Other models get up to 64 KB at a time, cut in front of spaces, else
// between characters. The space that some models put in front of a text comes once, in front of the
// line; where it goes behind (whitespace as suffix), longer lines have it behind the first part.
//
// Stored form after the first line: "bytes N", then the N bytes of the model.
std::unique_ptr<Tokenizer> restore_sentencepiece_tokenizer(StoredLines& lines,
                                                           const std::string& source);

// From the bytes of a .model file. `trusted`: see PieceEncoder. Error kBadData.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string model,
                                                        const std::string& source, bool trusted);

}  // namespace sluice::text
