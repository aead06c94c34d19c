#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "sluice/text/corpus.h"

namespace sluice::text {

// Which code points a text uses. What is malformed is none.
class CharacterSet {
 public:
  void add(std::string_view text);
  void add(const CharacterSet& other);
  std::uint64_t size() const;

 private:
  std::vector<bool> seen_ = std::vector<bool>(0x110000);
};

// What can be known of a text before anything is chosen for it.
struct Survey {
  CorpusCounts counts;
  std::uint64_t distinct_chars = 0;  // code points
};

// Reads all of it, in bounded memory. Errors as read_corpus, and kNoInput for pipes and "-", which
// cannot be read again.
Survey survey(const Corpus& corpus);

}  // namespace sluice::text
