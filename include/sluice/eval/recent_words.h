#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "sluice/model/sampler.h"

namespace sluice::eval {

// The latest words of a text, the last one last: at least as many as its sampler looks back at. The
// memory does not grow with the text.
class RecentWords {
 public:
  explicit RecentWords(const model::SamplerOptions& options)
      : kept_(options.repeat_penalty == 1 ? 1 : static_cast<std::size_t>(options.repeat_window)) {}

  void add(int word) {
    words_.push_back(word);
    // Not each time: a word costs the same however many are kept.
    if (words_.size() >= 2 * kept_) {
      words_.erase(words_.begin(), words_.end() - static_cast<std::ptrdiff_t>(kept_));
    }
  }
  void clear() { words_.clear(); }
  std::span<const int> words() const { return words_; }

 private:
  std::size_t kept_;
  std::vector<int> words_;
};

}  // namespace sluice::eval
