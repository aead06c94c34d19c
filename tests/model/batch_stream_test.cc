#include "sluice/model/batch_stream.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>
#include <map>

#include "tests/support/backends.h"
#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

using Origins = std::vector<BatchStream::Origin>;

// Widths that fill neither registers nor panels; several panels and tails in the output.
ModelConfig wide_config(bool adaptive, Norm norm = Norm::kWeight) {
  ModelConfig config = testing::full_config();
  config.norm = norm;
  config.blocks.push_back(testing::block({{.kernel = 3, .channels = 83}}, 2));
  if (adaptive) {
    config.output.type = OutputType::kAdaptive;
    config.output.cutoffs = {300, 600};
    config.output.tail_div = 2;
  }
  return config;
}

struct Subject {
  explicit Subject(const ModelConfig& config, Index vocabulary = 1300, int threads = 2,
                   const std::string& name = testing::kReference)
      : pool(threads),
        backend(testing::make_backend(name, pool)),
        model(config, vocabulary, *backend, {kernels::Array::kValue}) {
    model.initialise(3);
    testing::stir_parameters(model.parameters(), 4);
  }
  std::size_t vocabulary() const { return static_cast<std::size_t>(model.vocabulary()); }
  int word(std::size_t text, std::size_t t) const {
    const double uniform = uniform_at(derive_key(derive_key(7, text), t), 0);
    return static_cast<int>(uniform * static_cast<double>(vocabulary()));
  }
  // A prompt whose length is its own.
  void prompt(std::size_t text, Stream& stream) const {
    std::vector<int> words;
    for (std::size_t t = 0; t < 1 + 5 * text % 23; ++t) words.push_back(word(text, 1000 + t));
    stream.feed(words);
  }

  ThreadPool pool;
  std::unique_ptr<kernels::Backend> backend;
  GatedConvLm model;
};

constexpr std::size_t kSteps = 6;  // further than any kernel reaches

// What follows each of these texts after kSteps words, all in one batch: [texts, V].
std::vector<Real> together(const Subject& s, const std::vector<std::size_t>& texts) {
  std::deque<Stream> prompts;
  Origins origins;
  for (const std::size_t text : texts) {
    s.prompt(text, prompts.emplace_back(s.model, 8));
    origins.push_back({.prompt = &prompts.back()});
  }
  BatchStream batch(s.model);
  for (std::size_t t = 0; t < kSteps; ++t) {
    std::vector<int> words;
    for (const std::size_t text : texts) words.push_back(s.word(text, t));
    batch.advance(origins, words);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      origins[i] = {.sequence = static_cast<Index>(i)};
    }
  }
  std::vector<Real> log_p(texts.size() * s.vocabulary());
  batch.next(log_p);
  return log_p;
}

std::vector<std::size_t> first_texts(std::size_t count) {
  std::vector<std::size_t> texts;
  for (std::size_t text = 0; text < count; ++text) texts.push_back(text);
  return texts;
}

TEST_CASE("BatchStream: a text has the same bits in a batch of any size", "[model]") {
  const bool adaptive = GENERATE(false, true);
  const Norm norm =
      adaptive ? GENERATE(Norm::kWeight, Norm::kRms) : GENERATE(Norm::kLayer, Norm::kWeight);
  const std::string name = GENERATE(from_range(testing::product_backend_names()));
  const Subject s(wide_config(adaptive, norm), 1300, 2, name);
  std::map<std::size_t, std::vector<Real>> alone;
  for (std::size_t text = 0; text < 33; ++text) alone[text] = together(s, {text});
  CHECK(alone[0] != alone[1]);
  for (const std::size_t size : {2u, 5u, 16u, 33u}) {
    std::vector<Real> expected;
    for (const std::size_t text : first_texts(size)) {
      expected.insert(expected.end(), alone[text].begin(), alone[text].end());
    }
    INFO(name << ", " << size << " texts, adaptive " << adaptive);
    CHECK(together(s, first_texts(size)) == expected);
  }
}

TEST_CASE("BatchStream: the same bits for any number of threads", "[model]") {
  const ModelConfig config = wide_config(true);
  const std::string name = GENERATE(from_range(testing::product_backend_names()));
  INFO(name);
  const std::vector<Real> one = together(Subject(config, 1300, 1, name), first_texts(7));
  CHECK(together(Subject(config, 1300, 2, name), first_texts(7)) == one);
  CHECK(together(Subject(config, 1300, 3, name), first_texts(7)) == one);
}

TEST_CASE("BatchStream: a Stream fed token by token has the same bits", "[model]") {
  const std::string name = GENERATE(from_range(testing::product_backend_names()));
  INFO(name);
  const Subject s(wide_config(true), 1300, 2, name);
  const std::vector<Real> batch = together(s, {4, 9});
  Stream stream(s.model, 8);
  s.prompt(9, stream);
  for (std::size_t t = 0; t < kSteps; ++t) stream.feed(std::vector{s.word(9, t)});
  std::vector<Real> log_p(s.vocabulary());
  stream.next(log_p);
  CHECK(std::equal(log_p.begin(), log_p.end(),
                   batch.begin() + static_cast<std::ptrdiff_t>(s.vocabulary())));
}

// Also on a backend of another layout: texts join, leave, change places and go on in several.
TEST_CASE("BatchStream: texts go on from where their origins stood", "[model]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const Subject s(testing::full_config(), 11, 2, name);
  // What follows a text, in one pass over its words.
  const auto expected = [&](const std::vector<int>& words) {
    const auto state = s.model.state(1, static_cast<Index>(words.size()), false);
    s.model.forward_hidden(words, *state);
    std::vector<Real> log_p(s.vocabulary());
    s.model.log_probabilities(*state, state->map().time - 1, log_p);
    return log_p;
  };
  BatchStream batch(s.model);
  std::vector<std::vector<int>> texts;
  const auto advance = [&](const Origins& origins, const std::vector<std::vector<int>>& before,
                           const std::vector<int>& words) {
    batch.advance(origins, words);
    REQUIRE(batch.size() == static_cast<Index>(words.size()));
    texts = before;
    std::vector<Real> log_p(words.size() * s.vocabulary());
    batch.next(log_p);
    for (std::size_t i = 0; i < words.size(); ++i) {
      texts[i].push_back(words[i]);
      const std::vector<Real> right = expected(texts[i]);
      double worst = 0;
      for (std::size_t word = 0; word < right.size(); ++word) {
        const double found = static_cast<double>(log_p[i * s.vocabulary() + word]);
        worst = std::max(worst, std::abs(found - static_cast<double>(right[word])));
      }
      INFO(name << " text " << i);
      CHECK(worst < 1e-5);
    }
  };
  Stream first(s.model, 4), second(s.model, 4);
  const std::vector<int> one = {0, 4, 2, 9, 1}, two = {3, 8};
  first.feed(one);
  second.feed(two);
  advance({{.prompt = &first}, {.prompt = &first}, {.prompt = &second}}, {one, one, two},
          {5, 6, 7});
  advance({{.sequence = 2}, {.sequence = 0}, {.sequence = 1}}, {texts[2], texts[0], texts[1]},
          {1, 2, 3});
  advance({{.sequence = 1}, {.sequence = 1}}, {texts[1], texts[1]}, {8, 9});
  advance({{.sequence = 1}, {.prompt = &second}, {.sequence = 0}, {.prompt = &first}},
          {texts[1], two, texts[0], one}, {10, 4, 4, 0});
  advance({{.sequence = 3}}, {texts[3]}, {2});
}

}  // namespace
}  // namespace sluice::model
