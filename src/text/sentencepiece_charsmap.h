#pragma once

#include <string_view>

namespace sluice::text {

// What is wrong with the normalisation table of a SentencePiece model, in words, or nullptr. The
// table is a u32 length, a double-array trie (Darts-clone units: Yata et al. 2007) and NUL-ended
// replacements. The library follows the trie without looking at its bounds, and puts what it finds
// on the way into an array of 32: a table passes only when no text can lead it out of either, and
// when it is neither larger nor deeper than any that is needed, so that the answer costs little.
const char* find_charsmap_fault(std::string_view charsmap);

}  // namespace sluice::text
