#include "sluice/model/sampler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "sluice/base/random.h"

namespace sluice::model {
namespace {

std::vector<Real> logs(const std::vector<double>& probabilities) {
  std::vector<Real> result;
  for (const double p : probabilities) result.push_back(static_cast<Real>(std::log(p)));
  return result;
}

constexpr int kDraws = 20000;

std::vector<int> draws(const SamplerOptions& options, const std::vector<double>& probabilities,
                       int count) {
  Sampler sampler(options);
  const std::vector<Real> log_probabilities = logs(probabilities);
  std::vector<int> words;
  for (int i = 0; i < count; ++i) words.push_back(sampler.draw(log_probabilities));
  return words;
}

// Pearson's statistic of kDraws draws, so many of each word, against weights that need not sum
// to 1.
double chi_square(const std::vector<double>& found, const std::vector<double>& weights) {
  double total = 0, statistic = 0;
  for (const double weight : weights) total += weight;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double expected = kDraws * weights[i] / total;
    statistic += expected > 0   ? (found[i] - expected) * (found[i] - expected) / expected
                 : found[i] > 0 ? std::numeric_limits<double>::infinity()
                                : 0;
  }
  return statistic;
}
double chi_square(const SamplerOptions& options, const std::vector<double>& probabilities,
                  const std::vector<double>& weights) {
  std::vector<double> found(weights.size());
  for (const int word : draws(options, probabilities, kDraws)) {
    ++found[static_cast<std::size_t>(word)];
  }
  return chi_square(found, weights);
}

std::set<int> words(const SamplerOptions& options, const std::vector<double>& probabilities) {
  const std::vector<int> all = draws(options, probabilities, 2000);
  return {all.begin(), all.end()};
}

const std::vector<double> kProbabilities = {0.15, 0.5, 0.05, 0.3};
// With three degrees of freedom one seed in a thousand is above.
constexpr double kUnlikely = 16.3;

TEST_CASE("Sampler: words come with their probabilities", "[model]") {
  const SamplerOptions plain{.temperature = 1, .seed = 4};
  CHECK(chi_square(plain, kProbabilities, kProbabilities) < kUnlikely);
  CHECK(chi_square(plain, kProbabilities, {1, 1, 1, 1}) > 1000);
}

TEST_CASE("Sampler: temperature raises probabilities to its inverse", "[model]") {
  for (const double temperature : {0.5, 2.0}) {
    std::vector<double> weights;
    for (const double p : kProbabilities) weights.push_back(std::pow(p, 1 / temperature));
    const SamplerOptions options{.temperature = temperature, .seed = 5};
    CHECK(chi_square(options, kProbabilities, weights) < kUnlikely);
    CHECK(chi_square(options, kProbabilities, kProbabilities) > 500);
  }
}

TEST_CASE("Sampler: top-k and top-p keep exactly their words, at the odds they had", "[model]") {
  const auto kept = [](Index k, double p) {
    return words({.temperature = 1, .top_k = k, .top_p = p}, kProbabilities);
  };
  CHECK(kept(1, 1) == std::set{1});
  CHECK(kept(2, 1) == std::set{1, 3});
  CHECK(kept(9, 1) == std::set{0, 1, 2, 3});
  CHECK(kept(0, 1e-9) == std::set{1});
  CHECK(kept(0, 0.49) == std::set{1});
  CHECK(kept(0, 0.51) == std::set{1, 3});
  CHECK(kept(0, 0.79) == std::set{1, 3});
  CHECK(kept(0, 0.81) == std::set{0, 1, 3});
  CHECK(kept(0, 0.96) == std::set{0, 1, 2, 3});
  // top-p is of the mass that top-k left: 0.5 of 0.8.
  CHECK(kept(2, 0.62) == std::set{1});
  CHECK(kept(2, 0.63) == std::set{1, 3});
  CHECK(chi_square({.temperature = 1, .top_k = 2, .seed = 6}, kProbabilities, {0, 0.5, 0, 0.3}) <
        kUnlikely);
  CHECK(chi_square({.temperature = 1, .top_p = 0.9, .seed = 6}, kProbabilities,
                   {0.15, 0.5, 0, 0.3}) < kUnlikely);
}

TEST_CASE("Sampler: top-p looks at the model's own distribution, not the tempered one", "[model]") {
  CHECK(words({.temperature = 100, .top_p = 0.49}, kProbabilities) == std::set{1});
}

TEST_CASE("Sampler: min-p keeps words by their odds against the most probable one", "[model]") {
  const auto kept = [](SamplerOptions options) {
    options.temperature = 1;
    return words(options, kProbabilities);
  };
  CHECK(kept({.min_p = 1}) == std::set{1});
  CHECK(kept({.min_p = 0.61}) == std::set{1});
  CHECK(kept({.min_p = 0.59}) == std::set{1, 3});
  CHECK(kept({.min_p = 0.29}) == std::set{0, 1, 3});
  CHECK(kept({.min_p = 0.09}) == std::set{0, 1, 2, 3});
  CHECK(kept({.top_k = 2, .min_p = 0.29}) == std::set{1, 3});
  CHECK(kept({.top_k = 3, .min_p = 0.59}) == std::set{1, 3});
  CHECK(kept({.top_p = 0.49, .min_p = 0.29}) == std::set{1});
  CHECK(chi_square({.temperature = 1, .min_p = 0.29, .seed = 6}, kProbabilities,
                   {0.15, 0.5, 0, 0.3}) < kUnlikely);
  // Of the model's own distribution, not of the tempered one.
  CHECK(words({.temperature = 100, .min_p = 0.61}, kProbabilities) == std::set{1});
}

TEST_CASE("Sampler: the repeat penalty is a power of the probability, for the latest words",
          "[model]") {
  const auto statistic = [](double penalty, const std::vector<int>& before,
                            const std::vector<double>& weights) {
    std::vector<double> found(weights.size());
    Sampler sampler({.temperature = 1, .repeat_penalty = penalty, .repeat_window = 3, .seed = 9});
    for (int i = 0; i < kDraws; ++i) {
      ++found[static_cast<std::size_t>(sampler.draw(logs(kProbabilities), before))];
    }
    return chi_square(found, weights);
  };
  const auto power = [](double penalty, const std::set<int>& penalised) {
    std::vector<double> weights = kProbabilities;
    for (const int word : penalised) {
      double& weight = weights[static_cast<std::size_t>(word)];
      weight = std::pow(weight, penalty);
    }
    return weights;
  };
  CHECK(statistic(1.5, {}, kProbabilities) < kUnlikely);
  CHECK(statistic(1.5, {1}, power(1.5, {1})) < kUnlikely);
  CHECK(statistic(1.5, {1}, kProbabilities) > 400);
  // However often; but not those before the window.
  CHECK(statistic(1.5, {3, 1, 1, 0}, power(1.5, {0, 1})) < kUnlikely);
  CHECK(statistic(0.5, {2, 2, 2}, power(0.5, {2})) < kUnlikely);
}

TEST_CASE("Sampler: the repeat penalty comes before everything else", "[model]") {
  const auto drawn = [](SamplerOptions options) {
    options.repeat_penalty = 3;  // 0.5^3 = 0.125: now behind 0.3 and 0.15
    std::set<int> seen;
    Sampler sampler(options);
    for (int i = 0; i < 500; ++i) seen.insert(sampler.draw(logs(kProbabilities), {{1}}));
    return seen;
  };
  CHECK(drawn({.temperature = 0}) == std::set{3});
  CHECK(drawn({.temperature = 1, .top_k = 2}) == std::set{0, 3});
  CHECK(drawn({.temperature = 1, .min_p = 0.45}) == std::set{0, 3});
  // The mass of what is left: 0.3 of 0.625.
  CHECK(drawn({.temperature = 1, .top_p = 0.47}) == std::set{3});
  CHECK(drawn({.temperature = 1, .top_p = 0.49}) == std::set{0, 3});
}

TEST_CASE("Sampler: top-p over a large vocabulary keeps as many words as it must", "[model]") {
  // 1000 words, p falling; word ids shuffled.
  std::vector<double> p(1000);
  double total = 0;
  for (std::size_t i = 0; i < p.size(); ++i) total += p[i * 7 % 1000] = 1 / (10.0 + double(i));
  double mass = 0;
  std::set<int> expected;
  for (std::size_t i = 0; mass < 0.7 * total; ++i) {
    mass += p[i * 7 % 1000];
    expected.insert(static_cast<int>(i * 7 % 1000));
  }
  for (double& value : p) value /= total;
  REQUIRE(expected.size() > 200);
  CHECK(words({.temperature = 1, .top_p = 0.7}, p) == expected);
}

TEST_CASE("Sampler: the first sample has the seed given, the others one of their own", "[model]") {
  CHECK(sample_seed(7, 0, 0) == 7);
  std::set<std::uint64_t> seeds;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (std::uint64_t prompt = 0; prompt < 20; ++prompt) {
      for (std::uint64_t sample = prompt == 0 ? 1 : 0; sample < 20; ++sample) {
        seeds.insert(sample_seed(seed, prompt, sample));
        CHECK(sample_seed(seed, prompt, sample) < std::uint64_t{1} << 52);
      }
    }
  }
  CHECK(seeds.size() == 20 * 399);
}

// Words are picked block by block: these fill several, the last one not quite.
TEST_CASE("Sampler: of a large vocabulary each word comes with its probability", "[model]") {
  std::vector<double> p(1500);
  double total = 0;
  for (std::size_t i = 0; i < p.size(); ++i) total += p[i] = 1 + double(i * 7 % 1000) / 1000;
  for (double& value : p) value /= total;
  // As a normal distribution: one seed in a thousand is above.
  const double unlikely = 1499 + 3.1 * std::sqrt(2 * 1499.0);
  const SamplerOptions plain{.temperature = 1, .seed = 3};
  CHECK(chi_square(plain, p, p) < unlikely);
  CHECK(chi_square(plain, p, std::vector<double>(p.size(), 1)) > unlikely + 300);
  // On both sides of every border, and whole blocks of nothing.
  std::vector<double> few(1500, 0);
  few[255] = few[256] = few[1023] = 0.2;
  few[1024] = 0.3;
  few[1499] = 0.1;
  CHECK(chi_square(plain, few, few) < kUnlikely + 3);
}

TEST_CASE("Sampler: a small top-k of a large vocabulary", "[model]") {
  std::vector<double> p(1000, 0.4 / 995), weights(1000, 0);
  for (const std::size_t word : {3u, 250u, 600u, 601u, 999u}) {
    weights[word] = p[word] = 0.08 + 0.02 * double(word % 5);
  }
  double total = 0;
  for (const double value : p) total += value;
  for (double& value : p) value /= total;
  const SamplerOptions five{.temperature = 1, .top_k = 5, .seed = 8};
  CHECK(words(five, p) == std::set{3, 250, 600, 601, 999});
  CHECK(chi_square(five, p, weights) < kUnlikely + 3);
}

TEST_CASE("Sampler: a penalised word that is impossible stays so", "[model]") {
  Sampler sampler({.temperature = 1, .repeat_penalty = 1e-60});
  for (int i = 0; i < 100; ++i) CHECK(sampler.draw(logs({0, 0.5, 0.5}), {{0}}) != 0);
}

TEST_CASE("Sampler: equal probabilities rank by word", "[model]") {
  const std::vector<double> even(6, 1.0 / 6);
  CHECK(words({.temperature = 0}, even) == std::set{0});
  CHECK(words({.temperature = 1, .top_k = 2}, even) == std::set{0, 1});
  CHECK(words({.temperature = 1, .top_p = 0.4}, even) == std::set{0, 1, 2});
}

TEST_CASE("Sampler: a draw is a function of seed and number", "[model]") {
  const SamplerOptions seven{.temperature = 1, .seed = 7}, eight{.temperature = 1, .seed = 8};
  CHECK(draws(seven, kProbabilities, 50) == draws(seven, kProbabilities, 50));
  CHECK(draws(seven, kProbabilities, 50) != draws(eight, kProbabilities, 50));
  Sampler mixed(seven);
  mixed.draw(logs({0.5, 0.5}));
  const std::vector<int> whole = draws(seven, kProbabilities, 2);
  CHECK(mixed.draw(logs(kProbabilities)) == whole[1]);
}

// What a tail adds to its words' log-probabilities is rounded: at such a temperature that alone may
// outweigh the largest one, and must not bring word 0 about.
TEST_CASE("Sampler: tiny temperatures draw the best word, in whichever part it is", "[model]") {
  const std::vector<Real> head = {-std::numeric_limits<Real>::infinity(), -5};
  for (int i = 1; i <= 200; ++i) {
    const std::vector<Real> tail = {-4, static_cast<Real>(-0.0173 * i), -7};
    const Real log_mass = static_cast<Real>(-0.00917 * (201 - i));
    const WordPart parts[] = {{.end = 2, .log_p = head},
                              {.begin = 2, .end = 5, .log_mass = log_mass, .log_p = tail}};
    Sampler sampler({.temperature = 1e-10});
    const Draw draw = sampler.draw(parts, {});
    REQUIRE_FALSE(draw.wanted);
    REQUIRE(draw.word == 3);
  }
}

TEST_CASE("Sampler: impossible words are never drawn, extreme temperatures stay in bounds",
          "[model]") {
  CHECK(words({.temperature = 1}, {0, 0.5, 0, 0.5, 0}) == std::set{1, 3});
  CHECK(words({.temperature = 1e-6}, kProbabilities) == std::set{1});
  CHECK(words({.temperature = 1000}, kProbabilities) == std::set{0, 1, 2, 3});
}

// A distribution in parts, as an adaptive softmax has it, and the same in one piece.
struct InParts {
  // head, tail_mass: their logarithms without a constant; spread: of the words within a tail.
  InParts(std::uint64_t seed, double head_spread, const std::vector<double>& tail_mass,
          double spread) {
    const std::vector<Index> sizes = {kHead, 300, 700};
    std::vector<std::vector<double>> logs;
    for (std::size_t part = 0; part < sizes.size(); ++part) {
      std::vector<double>& own = logs.emplace_back();
      for (Index i = 0; i < sizes[part]; ++i) {
        const auto at = static_cast<std::uint64_t>(i);
        own.push_back((part == 0 ? head_spread : spread) * normal_at(derive_key(seed, part), at));
      }
      if (part == 0) own.insert(own.end(), tail_mass.begin(), tail_mass.end());
      double sum = 0;
      for (const double log : own) sum += std::exp(log);
      for (double& log : own) log -= std::log(sum);
    }
    Index begin = 0;
    for (std::size_t part = 0; part < sizes.size(); ++part) {
      within.emplace_back(logs[part].begin(), logs[part].begin() + sizes[part]);
      const double mass = part == 0 ? 0 : logs[0][kHead + part - 1];
      parts.push_back(
          {.begin = begin, .end = begin += sizes[part], .log_mass = static_cast<Real>(mass)});
      for (const Real log_p : within.back()) all.push_back(parts.back().log_mass + log_p);
    }
    // The vectors no longer move.
    for (std::size_t part = 0; part < sizes.size(); ++part) parts[part].log_p = within[part];
  }
  static constexpr Index kHead = 500;

  std::vector<std::vector<Real>> within;
  std::vector<WordPart> parts;
  std::vector<Real> all;
};

// A word with no part made known before it is wanted; adds to `read` how many were.
int draw_lazily(Sampler& sampler, const InParts& words, const std::vector<int>& before, int& read) {
  std::vector<WordPart> known = words.parts;
  for (std::size_t part = 1; part < known.size(); ++part) known[part].log_p = {};
  for (;;) {
    const Draw draw = sampler.draw(known, before);
    if (draw.word >= 0) return draw.word;
    REQUIRE(!known[draw.wanted].known());
    known[draw.wanted].log_p = words.parts[draw.wanted].log_p;
    ++read;
  }
}

// Of a text, how many tails a word needs on average; its words must be those of draws that know
// everything.
double tails_per_word(SamplerOptions options, double head_spread,
                      const std::vector<double>& tail_mass, double spread, int count = 1500) {
  options.seed = 21;
  Sampler whole(options), lazy(options);
  int read = 0, wrong = 0;
  std::vector<int> before;
  for (int i = 0; i < count; ++i) {
    const InParts words(static_cast<std::uint64_t>(i % 60), head_spread, tail_mass, spread);
    const int word = whole.draw(words.all, before);
    wrong += word != draw_lazily(lazy, words, before, read);
    before.push_back(word);
  }
  CHECK(wrong == 0);
  return static_cast<double>(read) / count;
}

TEST_CASE("Sampler: of parts the words of the whole, plain: only the tail that is drawn",
          "[model]") {
  const std::vector<double> even = {0, 0}, rare = {-3, -5};
  const double head = std::log(500.0);
  // Each a third.
  CHECK(tails_per_word({.temperature = 1}, 0, {head, head}, 1) == Approx(2 / 3.0).margin(0.06));
  CHECK(tails_per_word({.temperature = 1}, 2, rare, 1) < 0.01);
  for (const double temperature : {0.3, 0.8, 1.3}) {
    INFO(temperature);
    const double tails = tails_per_word({.temperature = temperature}, 3, rare, 2);
    CHECK(tails < 0.5);
    CHECK(tails_per_word({.temperature = temperature}, 0, {head, head}, 1) > 1);
    CHECK(tails_per_word({.temperature = temperature}, 1, even, 3) < 2);
  }
}

TEST_CASE("Sampler: of parts the words of the whole, ranked: only tails that may rank", "[model]") {
  const std::vector<double> rare = {-1, 1}, likely = {5, 7};
  const std::vector<SamplerOptions> ranked = {{.temperature = 0},
                                              {.temperature = 0.8, .top_k = 1},
                                              {.temperature = 0.8, .top_k = 30},
                                              {.temperature = 1.2, .top_p = 0.4},
                                              {.temperature = 0.9, .min_p = 0.2},
                                              {.temperature = 1, .top_k = 20, .top_p = 0.8},
                                              {.temperature = 1, .top_p = 0.5, .min_p = 0.1}};
  for (const SamplerOptions& options : ranked) {
    INFO(options.temperature << " k " << options.top_k << " p " << options.top_p << " min "
                             << options.min_p);
    CHECK(tails_per_word(options, 2, rare, 1, 300) < 0.5);
    CHECK(tails_per_word(options, 1, likely, 4, 300) > 0.9);
    tails_per_word(options, 1, {2, 3}, 1, 300);
  }
  // Where more are kept than the head has, all must be known.
  CHECK(tails_per_word({.temperature = 1, .top_k = 501}, 2, rare, 1, 100) == 2);
  CHECK(tails_per_word({.temperature = 1, .top_p = 0.9999}, 1, rare, 1, 100) == 2);
}

TEST_CASE("Sampler: of parts a penalised word must be known", "[model]") {
  for (const double penalty : {1.3, 0.7}) {
    for (SamplerOptions options : {SamplerOptions{.temperature = 0}, SamplerOptions{.top_k = 40},
                                   SamplerOptions{.temperature = 1}}) {
      options.repeat_penalty = penalty;
      options.repeat_window = 5;
      INFO(penalty << ", " << options.temperature << " k " << options.top_k);
      CHECK(tails_per_word(options, 2, {2, 2.5}, 2, 400) < 2);
    }
  }
}

TEST_CASE("Sampler: of equals in parts the first is the most probable", "[model]") {
  const auto greedy = [](const std::vector<Real>& head, Real first_mass, Real second_mass,
                         bool second_known) {
    static const std::vector<Real> one = {0}, two = {0, -1};
    Sampler sampler({.temperature = 0});
    std::vector<WordPart> parts = {{.end = 3, .log_p = head},
                                   {.begin = 3, .end = 5, .log_mass = first_mass},
                                   {.begin = 5, .end = 6, .log_mass = second_mass}};
    if (second_known) parts[2].log_p = one;
    const Draw first = sampler.draw(parts);
    if (first.word >= 0) return std::pair(first.word, 0);
    parts[first.wanted].log_p = first.wanted == 1 ? two : one;
    const Draw second = sampler.draw(parts);
    return std::pair(second.word, static_cast<int>(first.wanted));
  };
  CHECK(greedy({-1, -1, -2}, -1, -1, false) == std::pair(0, 0));
  CHECK(greedy({-2, -3, -3}, -1, -1, false) == std::pair(3, 1));
  CHECK(greedy({-2, -3, -3}, -1, -1, true) == std::pair(3, 1));
  CHECK(greedy({-2, -3, -3}, -1.5, -1, false) == std::pair(5, 2));
  CHECK(greedy({-2, -3, -3}, -1.5, -1, true) == std::pair(5, 0));
}

}  // namespace
}  // namespace sluice::model
