#include "sluice/text/lines_batcher.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "sluice/text/tokenizer.h"
#include "tests/support/source_dir.h"
#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

constexpr Index kContext = 2;

// Lines of so many words each. All words are different: word number i of the text has tokenizer id
// i + 2, and model ids are the reverse.
class LineCorpus {
 public:
  explicit LineCorpus(const std::vector<int>& words_of_lines) {
    std::string text;
    int word = 0;
    for (const int words : words_of_lines) {
      for (int i = 0; i < words; ++i) text += fmt::format("{}{:05}", i > 0 ? " " : "", ++word);
      text += '\n';
    }
    const auto file = folder_.write("text", text);
    TokenizerConfig config;
    config.type = TokenizerType::kWord;
    const auto tokenizer = train_tokenizer({file}, {}, config, false);
    tokens_ = std::make_unique<TokenFile>(
        tokenize({file}, {}, *tokenizer, folder_.path("cache"), nullptr));
    std::vector<int> model_ids;
    for (int id = tokenizer->size() - 1; id >= 0; --id) model_ids.push_back(id);
    permutation_ = Permutation(model_ids);
    text_.resize(tokens_->size());
    tokens_->read(0, text_);
    for (int& id : text_) id = permutation_.to_model(id);
  }

  LinesBatcher batcher(Index time, Index batch, std::uint64_t seed = 1) const {
    return {*tokens_, permutation_, 0, time, batch, kContext, seed};
  }
  const std::vector<int>& text() const { return text_; }  // model ids
  int end_of_line() const { return permutation_.to_model(0); }

 private:
  ScratchFolder folder_;
  std::unique_ptr<TokenFile> tokens_;
  Permutation permutation_;
  std::vector<int> text_;
};

// The targets of a sequence, up to its padding, which must be that throughout.
std::vector<int> targets_of(const Batch& batch, Index sequence, int end_of_line) {
  const auto row = batch.targets.begin() + sequence * batch.time, end = row + batch.time;
  const auto padding = std::find(row, end, -1);
  const auto inputs = batch.inputs.begin() + sequence * batch.time;
  for (auto t = padding - row; t < batch.time; ++t) {
    REQUIRE(row[t] == -1);
    REQUIRE(inputs[t] == end_of_line);
  }
  return {row, padding};
}

// Every sample of an epoch: its first input, then its targets.
std::multiset<std::vector<int>> samples_of(const LinesBatcher& batcher, Index batch_size,
                                           std::uint64_t epoch, int end_of_line) {
  std::multiset<std::vector<int>> samples;
  Batch batch;
  const auto step = static_cast<std::uint64_t>(batch_size);
  for (auto n = batcher.epoch_start(epoch); n < batcher.epoch_start(epoch + 1); n += step) {
    batcher.load(n, batch);
    Index scored = 0, longest = 0;
    for (Index b = 0; b < batch.sequences; ++b) {
      std::vector<int> sample = targets_of(batch, b, end_of_line);
      const auto inputs = batch.inputs.begin() + b * batch.time;
      const auto length = static_cast<Index>(sample.size());
      scored += length;
      longest = std::max(longest, length);
      REQUIRE(length > 0);
      // Each target is the next input.
      REQUIRE(std::equal(sample.begin(), sample.end() - 1, inputs + 1));
      sample.insert(sample.begin(), *inputs);
      samples.insert(sample);
    }
    REQUIRE(batch.scored == scored);
    REQUIRE(batch.time == longest);
  }
  return samples;
}

// What they must be, from the text alone.
std::multiset<std::vector<int>> expected_samples(const LineCorpus& corpus, std::size_t time) {
  std::multiset<std::vector<int>> samples;
  std::vector<int> sample = {corpus.end_of_line()};
  for (const int id : corpus.text()) {
    sample.push_back(id);
    const bool ends = id == corpus.end_of_line();
    if (!ends && sample.size() <= time) continue;
    samples.insert(sample);
    sample = {id};
  }
  return samples;
}

const std::vector<int> kLines = {3, 0, 12, 1, 1,  40, 7, 0, 2, 25, 5, 5, 6,
                                 9, 1, 0,  3, 18, 4,  8, 2, 2, 1,  0, 33};

bool equal(const Batch& a, const Batch& b) {
  return a.sequences == b.sequences && a.time == b.time && a.inputs == b.inputs &&
         a.targets == b.targets && a.scored == b.scored;
}

}  // namespace

TEST_CASE("LinesBatcher: every line is a sample once an epoch, long ones in pieces", "[text]") {
  const LineCorpus corpus(kLines);
  for (const Index time : {1, 2, 8, 13, 41, 100}) {
    const auto expected = expected_samples(corpus, static_cast<std::size_t>(time));
    for (const Index batch : {1, 3, 8, 200}) {
      const LinesBatcher batcher = corpus.batcher(time, batch);
      for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
        CHECK(samples_of(batcher, batch, epoch, corpus.end_of_line()) == expected);
      }
    }
  }
}

TEST_CASE("LinesBatcher: a batch has the memory of B sequences of T, and is full", "[text]") {
  std::vector<int> lines(60, 0);
  for (int i = 0; i < 240; ++i) lines.push_back(i * 7 % 50);
  const LineCorpus corpus(lines);
  for (const auto& [time, size] : std::vector<std::pair<Index, Index>>{{51, 4}, {20, 3}, {1, 5}}) {
    const LinesBatcher batcher = corpus.batcher(time, size);
    const Index most = size * (time + kContext);
    int loose = 0, batches = 0;
    double rows = 0;
    Batch batch;
    const auto step = static_cast<std::uint64_t>(size);
    for (auto n = batcher.epoch_start(0); n < batcher.epoch_start(1); n += step, ++batches) {
      batcher.load(n, batch);
      REQUIRE(batch.sequences * (batch.time + kContext) <= most);
      // Another of the same length would not fit, or of the next class.
      loose += (batch.sequences + 1) * (batch.time + 4 + kContext) <= most;
      rows += static_cast<double>(batch.sequences * (batch.time + kContext));
    }
    CHECK(loose <= 1);  // the last of the longest lines
    batcher.load_largest(batch);
    const auto largest = static_cast<double>(batch.sequences * (batch.time + kContext));
    CHECK(largest >= 0.9 * static_cast<double>(most));
    CHECK(batcher.mean_load() == Approx(rows / batches / largest).epsilon(0.1));
  }
}

TEST_CASE("LinesBatcher: lines of like length share a batch, others every epoch", "[text]") {
  std::vector<int> lines;
  for (int i = 0; i < 600; ++i) lines.push_back(i * 7 % 30);
  const LineCorpus corpus(lines);
  const LinesBatcher batcher = corpus.batcher(64, 2);
  std::set<std::vector<Index>> orders;
  std::set<std::set<std::vector<int>>> compositions;
  Batch batch;
  for (std::uint64_t epoch = 0; epoch < 5; ++epoch) {
    std::vector<Index> times;
    std::set<std::vector<int>> together;
    for (auto n = batcher.epoch_start(epoch); n < batcher.epoch_start(epoch + 1); n += 2) {
      batcher.load(n, batch);
      times.push_back(batch.time);
      // Two classes at most, of 20 lines for each length.
      if (batch.time > 8) CHECK(batch.scored > batch.sequences * (batch.time - 4));
      std::vector<int> first_targets;
      for (Index b = 0; b < batch.sequences; ++b) {
        first_targets.push_back(batch.targets[static_cast<std::size_t>(b * batch.time)]);
      }
      std::sort(first_targets.begin(), first_targets.end());
      together.insert(first_targets);
    }
    CHECK_FALSE(std::is_sorted(times.begin(), times.end()));
    orders.insert(times);
    compositions.insert(together);
  }
  CHECK(orders.size() == 5);
  CHECK(compositions.size() == 5);
}

TEST_CASE("LinesBatcher: a batch depends on its number alone", "[text]") {
  const LineCorpus corpus(kLines);
  const LinesBatcher batcher = corpus.batcher(16, 3);
  Batch first, again, other;
  batcher.load(99, first);
  batcher.load(6, other);
  again.inputs.assign(1000, 3);
  batcher.load(99, again);
  CHECK(equal(first, again));
  corpus.batcher(16, 3).load(99, again);
  CHECK(equal(first, again));
  bool differs = false;
  for (const std::uint64_t sample : {0u, 3u, 6u, 9u, 99u}) {
    batcher.load(sample, first);
    corpus.batcher(16, 3, 2).load(sample, other);
    differs = differs || !equal(first, other);
  }
  CHECK(differs);
}

TEST_CASE("LinesBatcher: the batches of a seed are frozen", "[text]") {
  const LineCorpus corpus({2, 0, 3, 1, 1, 5, 0});
  const LinesBatcher batcher = corpus.batcher(4, 3, 1);
  CHECK(batcher.epoch_start(1) == 9);
  std::vector<std::vector<int>> batches;
  for (const std::uint64_t first : {0u, 3u, 6u}) {
    Batch batch;
    batcher.load(first, batch);
    batches.push_back(batch.targets);
  }
  // 13 is </s>; the words count down from 11.
  CHECK(batches == std::vector<std::vector<int>>{{0, 13, -1, -1, 11, 10, 13, -1, 9, 8, 7, 13},
                                                 {13, -1, 13, -1, 6, 13, 5, 13},
                                                 {4, 3, 2, 1}});
}

TEST_CASE("LinesBatcher: at most 15 % of natural lines' batches are padding", "[text]") {
  const ScratchFolder folder;
  const std::string file = sluice::testing::source_dir() + "/data/shakespeare/train.txt";
  for (const TokenizerType type : {TokenizerType::kByte, TokenizerType::kWord}) {
    TokenizerConfig config;
    config.type = type;
    const auto tokenizer = train_tokenizer({file}, {}, config, false);
    const TokenFile tokens = tokenize({file}, {}, *tokenizer, folder.path("cache"), nullptr);
    const Permutation permutation = Permutation::by_frequency(tokens.frequencies());
    const LinesBatcher batcher(tokens, permutation, tokenizer->end_of_line(), 256, 32, 3, 1);
    double positions = 0, targets = 0;
    Batch batch;
    for (std::uint64_t n = 0; n < batcher.epoch_start(1); n += 32) {
      batcher.load(n, batch);
      positions += static_cast<double>(batch.targets.size());
      targets += static_cast<double>(batch.scored);
    }
    CHECK(targets == static_cast<double>(tokens.size()));
    CAPTURE(1 - targets / positions);
    CHECK(1 - targets / positions < 0.15);
  }
}

TEST_CASE("make_batcher: by mode", "[text]") {
  const ScratchFolder folder;
  const auto file = folder.write("text", "a\nbc\n");
  TokenizerConfig config;
  config.type = TokenizerType::kByte;
  const auto tokenizer = train_tokenizer({file}, {}, config, false);
  const TokenFile tokens = tokenize({file}, {}, *tokenizer, folder.path("cache"), nullptr);
  const Permutation permutation = Permutation::by_frequency(tokens.frequencies());
  DataConfig data;
  data.tokens_per_sample = 4;
  data.batch_size = 2;
  const auto positions = [&] {
    Batch batch;
    make_batcher(data, tokens, permutation, tokenizer->end_of_line(), 2, 1)->load(0, batch);
    return std::pair(batch.sequences, batch.time);
  };
  CHECK(positions() == std::pair<Index, Index>(2, 4));
  data.mode = Mode::kLines;
  CHECK(positions() == std::pair<Index, Index>(2, 3));
  // Shorter than a window of a stream, and enough for lines.
  data.tokens_per_sample = 100;
  CHECK(positions() == std::pair<Index, Index>(2, 3));
  CHECK_THROWS(make_batcher(data, tokens, Permutation({1, 0}), 0, 2, 1));
}
