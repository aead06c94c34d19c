#include "sluice/model/sampler.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

namespace sluice::model {
namespace {

std::vector<Real> log_of(const std::vector<double>& p) {
  std::vector<Real> log_p;
  for (const double value : p) log_p.push_back(static_cast<Real>(std::log(value)));
  return log_p;
}

const std::vector<double> kWords = {0.05, 0.4, 0.1, 0.25, 0.2};

// Frequencies of `draws` draws.
std::vector<double> frequencies(const SamplerOptions& options, const std::vector<double>& p,
                                int draws = 20000) {
  Sampler sampler(options);
  const std::vector<Real> log_p = log_of(p);
  std::vector<double> counts(p.size());
  for (int i = 0; i < draws; ++i) counts[static_cast<std::size_t>(sampler.draw(log_p))] += 1;
  for (double& count : counts) count /= draws;
  return counts;
}

// Within five deviations of a multinomial's.
void require_frequencies(const std::vector<double>& actual, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO("word " << i);
    CHECK(std::abs(actual[i] - expected[i]) <=
          5 * std::sqrt(expected[i] * (1 - expected[i]) / 20000));
  }
}

}  // namespace

TEST_CASE("Sampler: draws follow the distribution, sharpened by the temperature", "[model]") {
  require_frequencies(frequencies({.temperature = 1}, kWords), kWords);
  std::vector<double> sharp;
  double total = 0;
  for (const double p : kWords) total += p * p;
  for (const double p : kWords) sharp.push_back(p * p / total);
  require_frequencies(frequencies({.temperature = 0.5}, kWords), sharp);
}

TEST_CASE("Sampler: temperature 0 takes the most probable word, the first of equals", "[model]") {
  CHECK(Sampler({.temperature = 0}).draw(log_of(kWords)) == 1);
  CHECK(Sampler({.temperature = 0}).draw(log_of({0.1, 0.3, 0.3, 0.3})) == 1);
}

TEST_CASE("Sampler: top-k keeps the k most probable words", "[model]") {
  require_frequencies(frequencies({.temperature = 1, .top_k = 2}, kWords),
                      {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0});
  require_frequencies(frequencies({.temperature = 1, .top_k = 1}, kWords), {0, 1, 0, 0, 0});
  require_frequencies(frequencies({.temperature = 1, .top_k = 100}, kWords), kWords);
}

TEST_CASE("Sampler: top-p keeps the fewest words that reach the mass, at least one", "[model]") {
  require_frequencies(frequencies({.temperature = 1, .top_p = 0.6}, kWords),
                      {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0});
  require_frequencies(frequencies({.temperature = 1, .top_p = 0.7}, kWords),
                      {0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85});
  require_frequencies(frequencies({.temperature = 1, .top_p = 1e-9}, kWords), {0, 1, 0, 0, 0});
  // The mass is of what top-k left: 0.4 / 0.65 reaches 0.6 alone.
  require_frequencies(frequencies({.temperature = 1, .top_k = 2, .top_p = 0.6}, kWords),
                      {0, 1, 0, 0, 0});
}

TEST_CASE("Sampler: the same seed draws the same words, another seed others", "[model]") {
  const auto draw = [](std::uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed});
    std::vector<int> words;
    for (int i = 0; i < 100; ++i) words.push_back(sampler.draw(log_of(kWords)));
    return words;
  };
  CHECK(draw(1) == draw(1));
  CHECK(draw(1) != draw(2));
}

TEST_CASE("Sampler: words of no probability are never drawn", "[model]") {
  const std::vector<double> drawn = frequencies({.temperature = 2}, {0, 0.5, 0, 0.5, 0});
  CHECK(drawn[0] + drawn[2] + drawn[4] == 0);
}

}  // namespace sluice::model
