#pragma once

#include <span>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/base/thread_pool.h"

namespace sluice::eval {

// A distribution over the words that a stream had lately, by how much the places where they stood
// look like the place where the next one will:
//
//   p_cache(w | h_1..t, x_1..t)  ~  sum over i in [t - size, t) with x_i = w of exp(theta h_t .
//   h_i)
//
// h_t: what the softmax reads to predict x_t, [width]; the cache holds pairs (h_i, x_i) of places
// already behind, so that no later word has a part in it. theta's useful scale goes with 1 / |h|^2.
// Source: Grave, Joulin and Usunier 2017 (arXiv:1612.04426), section 3, equation 2. Only the
// probability of the word that came is computed, for several theta at little more than the cost of
// one: 2 size width operations per word for the products, and size exponentials for each theta.
class ContinuousCache {
 public:
  // The pool must outlive it. Error kNoResource.
  ContinuousCache(ThreadPool& pool, Index size, Index width, std::vector<double> thetas);

  const std::vector<double>& thetas() const { return thetas_; }
  // Goes on by T places, with h [T, width] and the words that came: writes p_cache of each by each
  // theta, [T, thetas], and then remembers them. At the first place of a stream the cache is empty,
  // and what is written there is kEmptyCache.
  void add(std::span<const Real> hidden, std::span<const int> words, std::span<double> p_cache);

 private:
  struct Sums;
  // The places that go through in one job of the pool, and one product.
  static constexpr Index kBatch = 1024, kRows = 64, kColumns = 512;

  void add_batch(const Real* hidden, std::span<const int> words, std::span<double> p_cache);
  void score_rows(Index first, Index rows, std::span<double> p_cache) const;
  void look_back(Index place, Index begin, Index end, const Real* scores, Sums& sums) const;

  ThreadPool& pool_;
  Index size_, width_, capacity_;
  std::vector<double> thetas_;
  Index places_ = 0;  // so far
  // A ring: place i is row i % capacity.
  AlignedBuffer hidden_;
  std::vector<int> words_;
};

inline constexpr double kEmptyCache = -1;

// Nats of a word by (1 - lambda) p_model + lambda p_cache (equation 4 of section 3, the linear
// interpolation), where `nats` are those of p_model. With an empty cache, or lambda 0, these.
double cached_nats(double nats, double p_cache, double lambda);

}  // namespace sluice::eval
