#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/base/real.h"

namespace sluice::model {

struct SamplerOptions {
  double temperature = 0.8;  // 0: the most probable word
  Index top_k = 0;           // keep the k most probable words; 0: all
  double top_p = 1;          // keep the fewest words whose mass reaches p
  std::uint64_t seed = 1;
};

// Draws words from a distribution. Order of operations: top-k, top-p (mass of what top-k left, of
// the model's own distribution), then temperature, then the draw. Draw number n of a seed is a
// function of (seed, n) and the distribution alone. Equal probabilities rank by word id.
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options) {}
  // A word from log-probabilities [V].
  int draw(std::span<const Real> log_probabilities);

 private:
  SamplerOptions options_;
  std::uint64_t draws_ = 0;
  std::vector<int> ranked_;
  std::vector<double> weights_;
};

}  // namespace sluice::model
