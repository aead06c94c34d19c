#pragma once

#include <optional>
#include <vector>

#include "sluice/eval/continuous_cache.h"
#include "sluice/eval/evaluation.h"

namespace sluice::eval {

// How a cache's words are weighed (eval/continuous_cache.h).
struct CacheMixture {
  double theta = 0, lambda = 0;
};

// What a model with a cache says of a stream, beside what it says without. Without a mixture it
// finds the one that is best for this very text, which is therefore validation text: all pairs of
// a grid are evaluated in the one pass.
class CacheEvaluator {
 public:
  // Backend, pool: of the model, and for the cache's own work; both must outlive it.
  CacheEvaluator(kernels::Backend& backend, ThreadPool& pool, Index size,
                 const std::optional<CacheMixture>& mixture);

  // Chooses the grid by the hidden vectors of a window, long enough to know them by; without it the
  // first pass is taken.
  void begin(const ScoredWindow& window);
  // A model's next pass over the stream, with the nats that the mixture starts from.
  void add(const ScoredWindow& window);

  struct Result {
    CacheMixture mixture;
    Totals totals;  // sums of nats; the rest as without a cache
  };
  // The mixture given, or the best of all; `plain`: of the model alone.
  Result result(const Totals& plain) const;

 private:
  void read_hidden(const ScoredWindow& window);

  kernels::Backend& backend_;
  ThreadPool& pool_;
  Index size_;
  bool tuned_;
  std::vector<double> thetas_, lambdas_;
  std::optional<ContinuousCache> cache_;
  std::vector<Totals> totals_;  // [thetas, lambdas]
  std::vector<Real> hidden_;
  std::vector<double> p_cache_, nats_;
};

// The grid of theta for hidden vectors like these, [T, width]: 0 and from 1/4 to 16 in steps of
// sqrt(2), in units of 1 / (standard deviation of h_t . h_i over i < t), to two digits.
std::vector<double> theta_grid(std::span<const Real> hidden, Index width);

}  // namespace sluice::eval
