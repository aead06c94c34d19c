#include "sluice/model/next_words.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "tests/support/backends.h"
#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

constexpr Index kTexts = 5, kVocabulary = 1300;

struct Subject {
  Subject(const std::string& name, const std::vector<Index>& cutoffs,
          kernels::WeightFormat format = kernels::WeightFormat::kFloat32)
      : backend(testing::make_backend(name, pool)),
        model(config(cutoffs), kVocabulary, *backend, {kernels::Array::kValue}),
        state(model.state(kTexts, 1, false)) {
    model.initialise(3);
    model.narrow(format);
    const std::vector<int> words = {1, 200, 700, 1299, 31};
    model.forward_hidden(words, *state);
    std::iota(tokens.begin(), tokens.end(), Index{0});
  }
  static ModelConfig config(const std::vector<Index>& cutoffs) {
    ModelConfig config = testing::full_config();
    if (!cutoffs.empty()) config.output.type = OutputType::kAdaptive;
    config.output.cutoffs = cutoffs;
    config.output.tail_div = 2;
    return config;
  }
  std::vector<Real> whole() {
    std::vector<Real> log_p(kTexts * kVocabulary);
    model.log_probabilities(*state, tokens, log_p);
    return log_p;
  }

  ThreadPool pool{2};
  std::unique_ptr<kernels::Backend> backend;
  GatedConvLm model;
  std::unique_ptr<GatedConvLm::State> state;
  std::vector<Index> tokens = std::vector<Index>(kTexts);
};

const std::vector<Index> kCutoffs = {300, 600};

TEST_CASE("NextWords: what is known has the bits of the whole distribution", "[model]") {
  for (const std::string& name : testing::product_backend_names()) {
    for (const auto format : {kernels::WeightFormat::kFloat32, kernels::WeightFormat::kInt8}) {
      Subject s(name, kCutoffs, format);
      const std::vector<Real> whole = s.whole();
      NextWords next;
      for (int again = 0; again < 2; ++again) {
        next.start(s.model, *s.state, s.tokens);
        CHECK(next.rows() == kTexts);
        CHECK(next.known(0) == kTexts);
        CHECK(next.known(1) + next.known(2) == 0);
        // In any order, some rows apart.
        next.add(2, std::vector<Index>{3});
        next.add(1, std::vector<Index>{0, 4});
        next.add(2, std::vector<Index>{0, 1});
        CHECK(next.known(1) == 2);
        CHECK(next.known(2) == 3);
        for (Index row = 0; row < kTexts; ++row) {
          const std::vector<WordPart>& parts = next.parts(row);
          REQUIRE(parts.size() == 3);
          CHECK(parts[0].known());
          CHECK(parts[1].known() == (row == 0 || row == 4));
          CHECK(parts[2].known() == (row == 0 || row == 1 || row == 3));
          bool same = true;
          for (const WordPart& part : parts) {
            for (Index word = part.begin; part.known() && word < part.end; ++word) {
              const Real expected = whole[static_cast<std::size_t>(row * kVocabulary + word)];
              same &= log_probability(parts, static_cast<int>(word)) == expected;
            }
          }
          INFO(name << ", " << sluice::name_of(format) << ", row " << row);
          CHECK(same);
        }
      }
    }
  }
}

TEST_CASE("NextWords: a whole softmax is one part", "[model]") {
  Subject s(testing::kReference, {});
  NextWords next;
  next.start(s.model, *s.state, s.tokens);
  const std::vector<Real> whole = s.whole();
  const std::vector<WordPart>& parts = next.parts(2);
  REQUIRE(parts.size() == 1);
  CHECK(std::equal(parts[0].log_p.begin(), parts[0].log_p.end(), whole.begin() + 2 * kVocabulary));
}

TEST_CASE("draw_words: the words of whole distributions, tails for those who need them",
          "[model]") {
  Subject s(testing::kReference, kCutoffs);
  const std::vector<Real> whole = s.whole();
  std::vector<Sampler> lazy, knowing;
  for (std::uint64_t seed = 0; seed < kTexts; ++seed) {
    lazy.push_back(Sampler({.temperature = 1, .seed = seed}));
    knowing.push_back(Sampler({.temperature = 1, .seed = seed}));
  }
  NextWords next;
  Index read = 0;
  int wrong = 0;
  for (int i = 0; i < 400; ++i) {
    next.start(s.model, *s.state, s.tokens);
    const std::vector<DrawnWord> drawn =
        draw_words(next, [&](Index row, std::span<const WordPart> parts) {
          return lazy[static_cast<std::size_t>(row)].draw(parts);
        });
    read += next.known(1) + next.known(2);
    for (std::size_t row = 0; row < kTexts; ++row) {
      const auto log_p = std::span(whole).subspan(row * kVocabulary, kVocabulary);
      const int word = knowing[row].draw(log_p);
      wrong += drawn[row].word != word ||
               drawn[row].log_probability != log_p[static_cast<std::size_t>(word)];
    }
  }
  CHECK(wrong == 0);
  // An untrained head gives every tail as much as a word.
  CHECK(read > 0);
  CHECK(read < 400 * kTexts / 20);
}

}  // namespace
}  // namespace sluice::model
