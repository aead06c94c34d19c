#include "sluice/text/survey.h"

#include <algorithm>

#include "corpus_reader.h"
#include "sluice/text/utf8.h"

namespace sluice::text {

void CharacterSet::add(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length > 0) seen_[decode_utf8(text.substr(0, length))] = true;
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
}

void CharacterSet::add(const CharacterSet& other) {
  for (std::size_t i = 0; i < seen_.size(); ++i) seen_[i] = seen_[i] || other.seen_[i];
}

std::uint64_t CharacterSet::size() const {
  return static_cast<std::uint64_t>(std::count(seen_.begin(), seen_.end(), true));
}

Survey survey(const Corpus& corpus) {
  require_regular(corpus.files);
  Survey result;
  CharacterSet characters;
  result.counts = read_corpus(corpus, [&](const LinePiece& piece) { characters.add(piece.text); });
  result.distinct_chars = characters.size();
  return result;
}

}  // namespace sluice::text
