#include "sluice/text/batcher.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <vector>

#include "tests/text/distinct_corpus.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

bool equal(const Batch& a, const Batch& b) {
  return a.sequences == b.sequences && a.time == b.time && a.inputs == b.inputs &&
         a.targets == b.targets && a.scored == b.scored;
}

// Adds the places of the targets of one sequence and checks its inputs and its padding.
void check_sequence(const DistinctCorpus& corpus, const Batch& batch, Index sequence,
                    std::multiset<std::uint64_t>& places) {
  const auto row = static_cast<std::size_t>(sequence * batch.time);
  const auto time = static_cast<std::size_t>(batch.time);
  bool padding = false;
  for (std::size_t t = 0; t < time; ++t) {
    const int target = batch.targets[row + t], input = batch.inputs[row + t];
    padding = padding || target == -1;
    if (padding) {
      REQUIRE(t > 0);
      REQUIRE(target == -1);
      REQUIRE(input == corpus.end_of_line());
      continue;
    }
    const std::uint64_t place = corpus.place_of(target);
    places.insert(place);
    if (place == 0) {
      REQUIRE(t == 0);
      REQUIRE(input == corpus.end_of_line());
    } else {
      REQUIRE(corpus.place_of(input) == place - 1);
    }
    if (t > 0) REQUIRE(place == corpus.place_of(batch.targets[row + t - 1]) + 1);
  }
}

}  // namespace

TEST_CASE("StreamBatcher: every token is a target once an epoch, after the one before it",
          "[text]") {
  for (const int words : {6, 7, 40, 41}) {
    const DistinctCorpus corpus(words);
    for (const Index time : {1, 2, 5, 7}) {
      const StreamBatcher batcher = corpus.batcher(time, 1);
      for (std::uint64_t epoch = 0; epoch < 6; ++epoch) {
        std::multiset<std::uint64_t> places;
        Index scored = 0;
        Batch batch;
        for (auto n = batcher.epoch_start(epoch); n < batcher.epoch_start(epoch + 1); ++n) {
          batcher.load(n, batch);
          check_sequence(corpus, batch, 0, places);
          scored += batch.scored;
        }
        CHECK(places.size() == corpus.size());
        CHECK(std::set(places.begin(), places.end()).size() == corpus.size());
        CHECK(static_cast<std::uint64_t>(scored) == corpus.size());
      }
    }
  }
}

TEST_CASE("StreamBatcher: batches are runs of samples, over the ends of epochs", "[text]") {
  const DistinctCorpus corpus(22);
  const StreamBatcher one_by_one = corpus.batcher(5, 1);
  const StreamBatcher by_seven = corpus.batcher(5, 7);  // more than an epoch holds
  Batch batch, single;
  for (const std::uint64_t first : {0u, 1u, 3u, 4u, 5u, 1000u}) {
    by_seven.load(first, batch);
    CHECK(batch.sequences == 7);
    CHECK(batch.time == 5);
    Index scored = 0;
    for (std::size_t b = 0; b < 7; ++b) {
      one_by_one.load(first + b, single);
      scored += single.scored;
      CHECK(std::equal(single.inputs.begin(), single.inputs.end(),
                       batch.inputs.begin() + 5 * static_cast<std::ptrdiff_t>(b)));
      CHECK(std::equal(single.targets.begin(), single.targets.end(),
                       batch.targets.begin() + 5 * static_cast<std::ptrdiff_t>(b)));
    }
    CHECK(batch.scored == scored);
  }
}

TEST_CASE("StreamBatcher: a sample depends on its number alone", "[text]") {
  const DistinctCorpus corpus(30);
  const StreamBatcher batcher = corpus.batcher(4, 3);
  Batch first, again, other;
  batcher.load(100, first);
  batcher.load(7, other);
  again.inputs.assign(1000, 3);
  batcher.load(100, again);
  CHECK(equal(first, again));
  corpus.batcher(4, 3).load(100, again);
  CHECK(equal(first, again));
  CHECK_FALSE(equal(first, other));
  corpus.batcher(4, 3, 2).load(100, other);
  CHECK_FALSE(equal(first, other));
}

TEST_CASE("StreamBatcher: context tokens stand in front of the same targets, as many as there are",
          "[text]") {
  const DistinctCorpus corpus(41);
  const Index time = GENERATE(1, 5), context = GENERATE(1, 4, 60);
  const StreamBatcher plain = corpus.batcher(time, 3),
                      batcher = corpus.batcher(time, 3, 1, context);
  CHECK(batcher.epoch_start(1) == plain.epoch_start(1));
  for (std::uint64_t first = 0; first < 3 * batcher.epoch_start(1); first += 3) {
    Batch batch, scored;
    batcher.load(first, batch);
    plain.load(first, scored);
    REQUIRE(batch.time == context + time);
    CHECK(batch.scored == scored.scored);
    CHECK_FALSE(batch.continues);
    for (std::ptrdiff_t b = 0; b < 3; ++b) {
      const auto targets = batch.targets.begin() + b * batch.time;
      const auto inputs = batch.inputs.begin() + b * batch.time;
      const auto only = scored.targets.begin() + b * time;
      // The first target of a window that has any text in front of it shows how much.
      const auto begin = static_cast<Index>(corpus.place_of(*only));
      const Index unscored = std::min(begin, context);
      CHECK(std::all_of(targets, targets + unscored, [](int target) { return target == -1; }));
      CHECK(std::equal(only, only + time, targets + unscored));
      for (Index t = 0; t < unscored + time; ++t) {
        const Index place = begin - unscored + t - 1;
        if (t >= unscored && targets[t] == -1) break;
        CHECK((place < 0 ? inputs[t] == corpus.end_of_line()
                         : corpus.place_of(inputs[t]) == static_cast<std::uint64_t>(place)));
      }
      CHECK(std::all_of(targets + unscored + time, targets + batch.time,
                        [](int target) { return target == -1; }));
    }
  }
}

TEST_CASE("StreamBatcher: positions and epoch starts agree", "[text]") {
  const DistinctCorpus corpus(30);
  const StreamBatcher batcher = corpus.batcher(4, 1);
  std::uint64_t sample = 0;
  std::set<std::uint64_t> sizes;
  for (std::uint64_t epoch = 0; epoch < 50; ++epoch) {
    CHECK(batcher.epoch_start(epoch) == sample);
    const std::uint64_t size = batcher.locate(sample).samples_in_epoch;
    sizes.insert(size);
    for (std::uint64_t i = 0; i < size; ++i, ++sample) {
      const auto position = batcher.locate(sample);
      CHECK(position.epoch == epoch);
      CHECK(position.sample == i);
      CHECK(position.samples_in_epoch == size);
    }
  }
  // 31 tokens by fours: 8 windows from offset 0 or 3, 9 from 1 or 2; one number for all epochs.
  CHECK(sizes == std::set<std::uint64_t>{8});
}

TEST_CASE("StreamBatcher: each epoch has an offset and an order of its own", "[text]") {
  const DistinctCorpus corpus(200);
  constexpr std::uint64_t kTime = 10;
  const StreamBatcher batcher = corpus.batcher(kTime, 1);
  std::set<std::uint64_t> offsets;
  std::set<std::vector<std::uint64_t>> orders;
  Batch batch;
  for (std::uint64_t epoch = 0; epoch < 60; ++epoch) {
    std::vector<std::uint64_t> order;
    for (auto n = batcher.epoch_start(epoch); n < batcher.epoch_start(epoch + 1); ++n) {
      batcher.load(n, batch);
      const std::uint64_t begin = corpus.place_of(batch.targets[0]);
      order.push_back(begin / kTime);
      if (begin >= kTime) offsets.insert(begin % kTime);
    }
    CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
    orders.insert(order);
  }
  CHECK(offsets.size() == kTime);
  CHECK(orders.size() == 60);
}

TEST_CASE("StreamBatcher: the samples of a seed are frozen", "[text]") {
  const DistinctCorpus corpus(11);
  const StreamBatcher batcher = corpus.batcher(4, 2, 1);
  std::vector<std::uint64_t> places;
  for (const std::uint64_t first : {0u, 2u, 4u, 6u}) {
    Batch batch;
    batcher.load(first, batch);
    for (const int target : batch.targets)
      places.push_back(target < 0 ? 99 : corpus.place_of(target));
  }
  CHECK(places == std::vector<std::uint64_t>{10, 11, 99, 99, 0, 1, 99, 99, 6,  7, 8,
                                             9,  2,  3,  4,  5, 1, 2,  3,  4,  0, 99,
                                             99, 99, 5,  6,  7, 8, 9,  10, 11, 99});
}

TEST_CASE("StreamBatcher: a corpus shorter than one window is refused", "[text]") {
  const DistinctCorpus corpus(9);
  CHECK_NOTHROW(corpus.batcher(10, 1));
  check_error(ExitCode::kBadData, {"expected 11", "found 10", "tokens_per_sample"},
              [&] { corpus.batcher(11, 1); });
}

TEST_CASE("StreamBatcher: a permutation of another size is refused", "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("text", "some text\n");
  TokenizerConfig config;
  config.type = TokenizerType::kByte;
  const auto tokenizer = train_tokenizer({file}, {}, config, false);
  const TokenFile tokens = tokenize({file}, {}, *tokenizer, folder.path("cache"), nullptr);
  const Permutation permutation({1, 0});
  check_error(ExitCode::kBadData, {"expected 2", "found 256"},
              [&] { StreamBatcher(tokens, permutation, 0, 2, 1, 1); });
}
