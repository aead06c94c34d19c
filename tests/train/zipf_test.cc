#include "sluice/train/zipf.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

namespace sluice::train {
namespace {

TEST_CASE("ZipfText: words come as often as 1 / (rank + 10) says", "[train]") {
  constexpr Index kWords = 50;
  constexpr int kDraws = 200000;
  const ZipfText text(kWords, 1);
  std::vector<double> seen(kWords);
  for (int n = 0; n < kDraws; ++n) {
    const int word = text.word(static_cast<std::uint64_t>(n));
    REQUIRE(word >= 0);
    REQUIRE(word < kWords);
    ++seen[static_cast<std::size_t>(word)];
  }
  double total = 0;
  for (int w = 0; w < kWords; ++w) total += 1 / (w + 10.0);
  for (int w = 0; w < kWords; ++w) {
    CAPTURE(w);
    const double expected = 1 / (w + 10.0) / total;
    CHECK(text.probability(w, w + 1) == Approx(expected));
    const double deviation = std::sqrt(expected * kDraws);
    CHECK(std::abs(seen[static_cast<std::size_t>(w)] - expected * kDraws) < 5 * deviation);
  }
  CHECK(text.probability(0, kWords) == 1);
}

TEST_CASE("ZipfText: a word is a function of seed and number", "[train]") {
  const ZipfText text(1000, 1), again(1000, 1), other(1000, 2);
  int differing = 0;
  for (std::uint64_t n = 0; n < 100; ++n) {
    CHECK(text.word(99 - n) == again.word(99 - n));
    differing += text.word(n) != other.word(n);
  }
  CHECK(differing > 80);
  CHECK(ZipfText(1, 1).word(7) == 0);
}

TEST_CASE("ZipfText: tails share what the head leaves", "[train]") {
  const ZipfText text(1000, 1);
  const std::vector<Index> cutoffs = {100, 300};
  const std::vector<double> shares = text.tail_shares(cutoffs);
  REQUIRE(shares.size() == 2);
  CHECK(shares[0] == Approx(text.probability(100, 300)));
  CHECK(shares[1] == Approx(text.probability(300, 1000)));
  CHECK(text.probability(0, 100) + shares[0] + shares[1] == Approx(1));
  CHECK(text.tail_shares({}).empty());
}

TEST_CASE("ZipfText: counts are a text's, no word missing", "[train]") {
  const auto counts = ZipfText(1000, 1).counts(10000);
  CHECK(counts.size() == 1000);
  CHECK(std::is_sorted(counts.rbegin(), counts.rend()));
  CHECK(counts.back() >= 1);
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  CHECK(total == Approx(10000).epsilon(0.1));
}

TEST_CASE("ZipfText: inputs of a batch are its targets one word later", "[train]") {
  const ZipfText text(1000, 1);
  text::Batch batch, next;
  text.fill(3, 2, 5, batch);
  CHECK(batch.sequences == 2);
  CHECK(batch.time == 5);
  CHECK(batch.scored == 10);
  REQUIRE(batch.inputs.size() == 10);
  REQUIRE(batch.targets.size() == 10);
  for (std::size_t i = 0; i < 10; ++i) {
    if (i % 5 != 0) CHECK(batch.inputs[i] == batch.targets[i - 1]);
  }
  // Sequence 1 of batch 3 is sequence 7: neither the one before it nor the next batch.
  CHECK(batch.targets[5] == text.word(7 * 6 + 1));
  text.fill(4, 2, 5, next);
  CHECK(next.targets[0] == text.word(8 * 6 + 1));
  CHECK(next.targets != batch.targets);
}

TEST_CASE("ZipfText: context is read, not scored", "[train]") {
  const ZipfText text(1000, 1);
  text::Batch plain, batch;
  text.fill(3, 2, 5, plain);
  text.fill(3, 2, 5, batch, 2);
  CHECK(batch.inputs == plain.inputs);
  CHECK(batch.scored == 6);
  for (std::size_t i = 0; i < 10; ++i) {
    CHECK(batch.targets[i] == (i % 5 < 2 ? -1 : plain.targets[i]));
  }
}

}  // namespace
}  // namespace sluice::train
