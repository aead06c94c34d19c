#include "sluice/text/contiguous_batcher.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "tests/text/distinct_corpus.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

// Where the targets of a sequence begin; checks that they follow each other, and the inputs.
std::uint64_t begin_of(const DistinctCorpus& corpus, const Batch& batch, Index sequence) {
  const auto row = static_cast<std::size_t>(sequence * batch.time);
  const std::uint64_t begin = corpus.place_of(batch.targets[row]);
  for (std::size_t t = 0; t < static_cast<std::size_t>(batch.time); ++t) {
    const int input = batch.inputs[row + t];
    REQUIRE(corpus.place_of(batch.targets[row + t]) == begin + t);
    if (begin + t == 0) {
      REQUIRE(input == corpus.end_of_line());
    } else {
      REQUIRE(corpus.place_of(input) == begin + t - 1);
    }
  }
  return begin;
}

}  // namespace

TEST_CASE("ContiguousBatcher: every target comes once, but for fewer than (B + 1) T at the ends",
          "[text]") {
  for (const int words : {23, 40, 41, 97}) {
    const DistinctCorpus corpus(words);
    for (const auto& [time, streams] :
         std::vector<std::pair<Index, Index>>{{1, 1}, {1, 3}, {5, 1}, {5, 3}, {7, 2}, {2, 8}}) {
      const ContiguousBatcher batcher = corpus.contiguous(time, streams);
      CAPTURE(words, time, streams);
      for (std::uint64_t epoch = 0; epoch < 4; ++epoch) {
        std::set<std::uint64_t> places;
        Batch batch;
        for (auto n = batcher.epoch_start(epoch); n < batcher.epoch_start(epoch + 1);
             n += static_cast<std::uint64_t>(streams)) {
          batcher.load(n, batch);
          REQUIRE(batch.sequences == streams);
          REQUIRE(batch.time == time);
          REQUIRE(batch.scored == streams * time);
          for (Index b = 0; b < streams; ++b) {
            const std::uint64_t begin = begin_of(corpus, batch, b);
            for (Index t = 0; t < time; ++t) {
              REQUIRE(places.insert(begin + static_cast<std::uint64_t>(t)).second);
            }
          }
        }
        const std::uint64_t left = corpus.size() - places.size();
        CHECK(left < static_cast<std::uint64_t>((streams + 1) * time));
        CHECK(*places.rbegin() - *places.begin() + 1 == places.size());
      }
    }
  }
}

TEST_CASE("ContiguousBatcher: a batch goes on where the one before ends, but over epochs",
          "[text]") {
  const DistinctCorpus corpus(97);
  const ContiguousBatcher batcher = corpus.contiguous(5, 3);
  CHECK(batcher.carries());
  CHECK_FALSE(corpus.batcher(5, 3).carries());
  Batch before, batch;
  for (std::uint64_t n = 0; n < 5 * batcher.epoch_start(1); n += 3, before = batch) {
    batcher.load(n, batch);
    CHECK(batch.continues == (n % batcher.epoch_start(1) != 0));
    if (!batch.continues) continue;
    for (Index b = 0; b < 3; ++b) {
      CHECK(begin_of(corpus, batch, b) == begin_of(corpus, before, b) + 5);
    }
  }
}

TEST_CASE("ContiguousBatcher: a batch depends on seed and number alone, and epochs differ",
          "[text]") {
  const DistinctCorpus corpus(200);
  const ContiguousBatcher batcher = corpus.contiguous(10, 3);
  Batch first, again;
  batcher.load(30, first);
  batcher.load(0, again);
  batcher.load(30, again);
  CHECK(first.targets == again.targets);
  CHECK(first.inputs == again.inputs);
  // The batcher of windows leaves nothing behind.
  corpus.batcher(10, 3).load(0, again);
  CHECK_FALSE(again.continues);
  const auto offsets = [&](std::uint64_t seed) {
    const ContiguousBatcher seeded = corpus.contiguous(10, 3, seed);
    std::vector<std::uint64_t> places;
    for (std::uint64_t epoch = 0; epoch < 200; ++epoch) {
      seeded.load(seeded.epoch_start(epoch), first);
      places.push_back(begin_of(corpus, first, 0));
    }
    return places;
  };
  CHECK(offsets(1) == offsets(1));
  CHECK(offsets(1) != offsets(2));
  // 201 tokens, 6 windows of 30: 0 to 21 of the 21 left out stand in front.
  const auto drawn = offsets(1);
  CHECK(std::set(drawn.begin(), drawn.end()).size() == 22);
  CHECK(*std::max_element(drawn.begin(), drawn.end()) == 21);
  CHECK(batcher.locate(batcher.epoch_start(7) + 4).epoch == 7);
  CHECK(batcher.epoch_start(1) == 18);
}

TEST_CASE("ContiguousBatcher: the batches of a seed are frozen", "[text]") {
  const DistinctCorpus corpus(19);
  const ContiguousBatcher batcher = corpus.contiguous(4, 2, 1);
  std::vector<std::uint64_t> begins;
  for (std::uint64_t n = 0; n < 12; n += 2) {
    Batch batch;
    batcher.load(n, batch);
    for (const Index b : {0, 1}) begins.push_back(begin_of(corpus, batch, b));
  }
  CHECK(begins == std::vector<std::uint64_t>{4, 12, 8, 16, 4, 12, 8, 16, 0, 8, 4, 12});
}

TEST_CASE("ContiguousBatcher: a text without a window for each stream is refused", "[text]") {
  const DistinctCorpus corpus(33);  // 34 tokens
  CHECK_NOTHROW(corpus.contiguous(5, 6));
  check_error(ExitCode::kBadData, {"6 streams", "expected 41", "found 34", "data.batch_size"},
              [&] { corpus.contiguous(6, 6); });
}
