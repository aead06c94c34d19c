#include "sluice/text/survey.h"

#include <vector>

#include "corpus_reader.h"
#include "sluice/text/utf8.h"

namespace sluice::text {

Survey survey(const Corpus& corpus) {
  require_regular(corpus.files);
  Survey result;
  std::vector<bool> seen(0x110000);
  result.counts = read_corpus(corpus, [&](const LinePiece& piece) {
    for (std::string_view rest = piece.text; !rest.empty();) {
      const std::size_t length = utf8_length(rest);
      if (length > 0) seen[decode_utf8(rest.substr(0, length))] = true;
      rest.remove_prefix(length > 0 ? length : 1);  // a byte that is no character
    }
  });
  for (const bool is : seen) result.distinct_chars += is ? 1 : 0;
  return result;
}

}  // namespace sluice::text
