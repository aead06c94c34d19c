#include "sluice/eval/recent_words.h"

#include <algorithm>
#include <catch2/catch.hpp>

namespace sluice::eval {
namespace {

TEST_CASE("RecentWords: keeps what the sampler looks back at, and not much more", "[eval]") {
  const Index window = GENERATE(1, 2, 7);
  RecentWords recent({.repeat_penalty = 1.5, .repeat_window = window});
  for (int word = 0; word < 50; ++word) {
    recent.add(word);
    const auto words = recent.words();
    const int seen = word + 1;
    REQUIRE(static_cast<int>(words.size()) >= std::min<Index>(window, seen));
    CHECK(static_cast<Index>(words.size()) <= 2 * window);
    for (std::size_t back = 0; back < words.size(); ++back) {
      CHECK(words[words.size() - 1 - back] == word - static_cast<int>(back));
    }
  }
  recent.clear();
  CHECK(recent.words().empty());
}

TEST_CASE("RecentWords: without a penalty only the last", "[eval]") {
  RecentWords recent({.repeat_window = 1000});
  for (int word = 0; word < 50; ++word) recent.add(word);
  CHECK(recent.words().size() == 1);
  CHECK(recent.words().back() == 49);
}

}  // namespace
}  // namespace sluice::eval
