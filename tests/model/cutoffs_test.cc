#include "sluice/model/cutoffs.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

namespace sluice::model {
namespace {

// Zipf's law: word n occurs 1/n as often as the first.
std::vector<std::uint64_t> zipf(std::size_t words) {
  std::vector<std::uint64_t> counts(words);
  for (std::size_t i = 0; i < words; ++i) {
    counts[i] = static_cast<std::uint64_t>(1e7 / static_cast<double>(i + 1));
  }
  return counts;
}

}  // namespace

TEST_CASE("adaptive_cost: head rows for all tokens, tail rows for their own", "[model]") {
  const CutoffShape shape = {.width = 64, .tail_div = 4};
  const std::vector<std::uint64_t> counts = {50, 25, 15, 5, 3, 2};
  CHECK(adaptive_cost(shape, counts, {}) == Approx(6.0 * 2080));
  const std::vector<Index> two = {2, 4};
  const double head = 4.0 * 2080, first = (0.2 * 2048 + 32) * (2 + 16);
  const double second = (0.05 * 2048 + 32) * (2 + 4);
  CHECK(adaptive_cost(shape, counts, two) == Approx(head + first + second));
}

TEST_CASE("choose_cutoffs: no other round numbers cost less, one tail more saves little",
          "[model]") {
  const CutoffShape shape = {.width = 1200, .tail_div = 4};
  const auto counts = zipf(5000);
  std::vector<Index> round;
  for (const Index decade : {100, 1000}) {
    for (const Index tenths : {10, 15, 20, 30, 40, 50, 60, 80}) {
      if (decade / 10 * tenths < 5000) round.push_back(decade / 10 * tenths);
    }
  }
  // Least cost of none, one, two and three tails.
  std::vector<std::pair<double, std::vector<Index>>> least(4, {1e300, {}});
  const auto offer = [&](std::vector<Index> cutoffs) {
    const double cost = adaptive_cost(shape, counts, cutoffs);
    auto& entry = least[cutoffs.size()];
    if (cost < entry.first) entry = {cost, std::move(cutoffs)};
  };
  offer({});
  for (std::size_t a = 0; a < round.size(); ++a) {
    offer({round[a]});
    for (std::size_t b = a + 1; b < round.size(); ++b) {
      offer({round[a], round[b]});
      for (std::size_t c = b + 1; c < round.size(); ++c) offer({round[a], round[b], round[c]});
    }
  }
  std::size_t tails = 0;
  while (tails < 3 && least[tails + 1].first < 0.9 * least[tails].first) ++tails;
  CHECK(tails > 0);
  CHECK(choose_cutoffs(shape, counts) == least[tails].second);
}

TEST_CASE("choose_cutoffs: a small vocabulary or a narrow network has no tails", "[model]") {
  CHECK(choose_cutoffs({.width = 512, .tail_div = 4}, zipf(65)).empty());
  CHECK(choose_cutoffs({.width = 28, .tail_div = 4}, zipf(30000)).empty());
  CHECK(choose_cutoffs({.width = 512, .tail_div = 4}, {}).empty());
}

TEST_CASE("choose_cutoffs: large vocabularies get several tails, in order and inside", "[model]") {
  for (const std::size_t words : {33278, 267735}) {
    INFO(words);
    const std::vector<Index> cutoffs = choose_cutoffs({.width = 900, .tail_div = 4}, zipf(words));
    REQUIRE(cutoffs.size() >= 2);
    CHECK(std::adjacent_find(cutoffs.begin(), cutoffs.end(), std::greater_equal<>()) ==
          cutoffs.end());
    CHECK(cutoffs.back() < static_cast<Index>(words));
  }
}

}  // namespace sluice::model
