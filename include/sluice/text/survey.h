#pragma once

#include <cstdint>

#include "sluice/text/corpus.h"

namespace sluice::text {

// What can be known of a text before anything is chosen for it.
struct Survey {
  CorpusCounts counts;
  std::uint64_t distinct_chars = 0;  // code points
};

// Reads all of it, in bounded memory. Errors as read_corpus, and kNoInput for pipes and "-", which
// cannot be read again.
Survey survey(const Corpus& corpus);

}  // namespace sluice::text
