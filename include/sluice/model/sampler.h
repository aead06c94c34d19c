#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sluice/base/real.h"

namespace sluice::model {

struct SamplerOptions {
  double temperature = 0.8;   // 0: the most probable word
  Index top_k = 0;            // keep the k most probable words; 0: all
  double top_p = 1;           // keep the fewest words whose mass reaches p
  double min_p = 0;           // keep words at least this probable, the most probable counting as 1
  double repeat_penalty = 1;  // above 1: words of the last repeat_window become rarer
  Index repeat_window = 64;   // words before this one
  std::uint64_t seed = 1;
};

// Draws words from a distribution. Order of operations, on the model's own distribution until the
// last: repeat penalty, top-k, top-p (mass of what top-k left), min-p, temperature, draw. Draw
// number n of a seed is a function of (seed, n), the distribution and the penalised words alone.
// Equal probabilities rank by word id.
//
// Repeat penalty R: log p is multiplied by R for each word of the window, once however often it is
// there. Source: Keskar et al. 2019 (arXiv:1909.05858), section 4.1, which divides logits by R; a
// log-probability is a logit with no free constant and never positive, so that R > 1 always makes a
// word rarer. (A word with p = 1 stays what it is.)
class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options) {}
  // A word from log-probabilities [V]; `before`: the words so far, the last one last.
  int draw(std::span<const Real> log_probabilities, std::span<const int> before = {});

 private:
  void penalise(std::span<const int> before);
  // Leaves in ranked_ the words that may be drawn; none: all.
  void keep_some();
  // Places [first, count) of ranked_ get the most probable words from there on, in order.
  void rank(std::size_t first, std::size_t count);
  // How many of the most probable words have this share of the mass of all in ranked_.
  std::size_t reach_mass(double share);
  void weigh();
  int pick(double uniform);

  SamplerOptions options_;
  std::uint64_t draws_ = 0;
  std::vector<Real> log_p_;  // [V], penalised
  std::vector<int> ranked_;
  std::vector<Real> weights_;  // of these
  std::vector<double> sums_;   // of blocks of weights
};

// The seed of a prompt's sample, whatever else is asked for: the first sample of the first prompt
// (0, 0) has `seed` itself, the others one below 2^52, which survives JSON readers that know
// doubles only.
std::uint64_t sample_seed(std::uint64_t seed, std::uint64_t prompt, std::uint64_t sample);

}  // namespace sluice::model
