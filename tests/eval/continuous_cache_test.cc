#include "sluice/eval/continuous_cache.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/tiny_model.h"

namespace sluice::eval {
namespace {

constexpr Index kWidth = 6;

// Places of a stream: longer than a batch of the cache, of few words, so that most come again.
struct Places {
  explicit Places(Index count, double deviation = 1)
      : hidden(testing::normal_values(static_cast<std::size_t>(count * kWidth), 1, deviation)),
        words(testing::token_batch(1, count, 9, 2).targets) {}
  std::vector<Real> hidden;
  std::vector<int> words;
};

// The definition, in double.
double by_hand(const Places& it, Index t, Index size, double theta) {
  const auto product = [&](Index i) {
    double sum = 0;
    for (Index c = 0; c < kWidth; ++c) {
      sum += static_cast<double>(it.hidden[static_cast<std::size_t>(t * kWidth + c)]) *
             static_cast<double>(it.hidden[static_cast<std::size_t>(i * kWidth + c)]);
    }
    return sum;
  };
  double largest = -1e300, all = 0, hits = 0;
  for (Index i = std::max<Index>(0, t - size); i < t; ++i) largest = std::max(largest, product(i));
  for (Index i = std::max<Index>(0, t - size); i < t; ++i) {
    const double term = std::exp(theta * (product(i) - largest));
    all += term;
    if (it.words[static_cast<std::size_t>(i)] == it.words[static_cast<std::size_t>(t)]) {
      hits += term;
    }
  }
  return hits / all;
}

// [T, thetas], with so many places in each call.
std::vector<double> p_cache(const Places& it, Index size, const std::vector<double>& thetas,
                            std::size_t piece, int threads = 1) {
  ThreadPool pool(threads);
  ContinuousCache cache(pool, size, kWidth, thetas);
  std::vector<double> out(it.words.size() * thetas.size());
  for (std::size_t at = 0; at < it.words.size(); at += piece) {
    const std::size_t count = std::min(piece, it.words.size() - at);
    cache.add(std::span(it.hidden).subspan(at * kWidth, count * kWidth),
              std::span(it.words).subspan(at, count),
              std::span(out).subspan(at * thetas.size(), count * thetas.size()));
  }
  return out;
}

TEST_CASE("ContinuousCache: equals its definition, for every theta at once", "[eval]") {
  // Scores up to hundreds: their exponentials alone are no floats.
  const double deviation = GENERATE(0.3, 6.0);
  const Index size = GENERATE(1, 7, 600, 100000);
  const Places it(1300, deviation);
  const std::vector<double> thetas = {0, 0.5, 3, 1};
  const std::vector<double> found = p_cache(it, size, thetas, 1300);
  CHECK(found[0] == kEmptyCache);
  double worst = 0;
  for (Index t = 1; t < 1300; ++t) {
    for (std::size_t k = 0; k < thetas.size(); ++k) {
      const double expected = by_hand(it, t, size, thetas[k]);
      worst = std::max(worst,
                       std::abs(found[static_cast<std::size_t>(t) * thetas.size() + k] - expected));
    }
  }
  CHECK(worst < 2e-4);
  if (deviation < 1) CHECK(worst < 2e-6);
}

TEST_CASE("ContinuousCache: how places arrive makes no difference beyond rounding", "[eval]") {
  const Places it(2500);
  const std::vector<double> whole = p_cache(it, 300, {0.7}, 2500);
  for (const std::size_t piece : {1u, 37u, 1024u}) {
    const std::vector<double> found = p_cache(it, 300, {0.7}, piece);
    double worst = 0;
    for (std::size_t t = 0; t < whole.size(); ++t) {
      worst = std::max(worst, std::abs(found[t] - whole[t]));
    }
    CHECK(worst < 1e-5);
  }
  CHECK(p_cache(it, 300, {0.7}, 2500, 3) == whole);
}

TEST_CASE("ContinuousCache: no later word or place changes a score", "[eval]") {
  const Places it(1500);
  const std::vector<double> before = p_cache(it, 200, {1}, 1500);
  for (const std::size_t changed : {5u, 70u, 1100u}) {
    Places other = it;
    for (std::size_t c = 0; c < kWidth; ++c) other.hidden[changed * kWidth + c] = Real(3);
    other.words[changed] += 1;
    const std::vector<double> after = p_cache(other, 200, {1}, 1500);
    CHECK(std::equal(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(changed),
                     after.begin()));
    // The scores behind it know of it, those that the cache's size allows.
    CHECK_FALSE(std::equal(before.begin() + static_cast<std::ptrdiff_t>(changed) + 1,
                           before.begin() + static_cast<std::ptrdiff_t>(changed) + 201,
                           after.begin() + static_cast<std::ptrdiff_t>(changed) + 1));
    CHECK(std::equal(before.begin() + static_cast<std::ptrdiff_t>(changed) + 201, before.end(),
                     after.begin() + static_cast<std::ptrdiff_t>(changed) + 201));
  }
}

TEST_CASE("ContinuousCache: the mixture is linear, and exact where there is none", "[eval]") {
  for (const double nats : {0.0, 0.3, 5.0, 40.0}) {
    for (const double p : {0.0, 0.2, 1.0}) {
      CHECK(cached_nats(nats, p, 0) == nats);
      CHECK(cached_nats(nats, p, 0.3) == Approx(-std::log(0.7 * std::exp(-nats) + 0.3 * p)));
    }
    CHECK(cached_nats(nats, kEmptyCache, 0.3) == nats);
  }
  // Beyond what a double can be divided by.
  CHECK(cached_nats(1e4, 0.5, 0.2) == Approx(-std::log(0.1)));
  CHECK(cached_nats(1e4, 0, 0.2) == Approx(1e4 - std::log(0.8)));
}

}  // namespace
}  // namespace sluice::eval
