#include "sluice/model/sampler.h"

#include <Eigen/Core>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "sluice/base/random.h"

namespace sluice::model {
namespace {

using Values = Eigen::Map<Eigen::Array<Real, Eigen::Dynamic, 1>>;

Values view(std::vector<Real>& values) {
  return {values.data(), static_cast<Index>(values.size())};
}

constexpr Index kBlock = 256;              // words
constexpr Real kImpossible = Real(1e-35);  // no draw of 53 bits ever gets there

}  // namespace

void Sampler::penalise(std::span<const int> before) {
  if (options_.repeat_penalty == 1) return;
  const std::size_t window =
      std::min(before.size(), static_cast<std::size_t>(options_.repeat_window));
  std::vector<int> recent(before.end() - static_cast<std::ptrdiff_t>(window), before.end());
  std::sort(recent.begin(), recent.end());
  recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
  for (const int word : recent) {
    Real& log_p = log_p_[static_cast<std::size_t>(word)];
    // An impossible word stays one, whatever it is multiplied by.
    if (std::isfinite(log_p)) log_p *= static_cast<Real>(options_.repeat_penalty);
  }
}

void Sampler::rank(std::size_t first, std::size_t count) {
  const auto more_probable = [&](int a, int b) {
    const Real p = log_p_[static_cast<std::size_t>(a)], q = log_p_[static_cast<std::size_t>(b)];
    return p != q ? p > q : a < b;
  };
  const auto begin = ranked_.begin() + static_cast<std::ptrdiff_t>(first);
  const auto end = ranked_.begin() + static_cast<std::ptrdiff_t>(count);
  // The same outcome: a heap of few is quick to look at all words with, one of many is not.
  if (16 * (count - first) < ranked_.size()) {
    std::partial_sort(begin, end, ranked_.end(), more_probable);
  } else {
    std::nth_element(begin, end, ranked_.end(), more_probable);
    std::sort(begin, end, more_probable);
  }
}

// Words are ranked as they are needed: most distributions need few, and to sort a whole vocabulary
// would cost more than the network.
std::size_t Sampler::reach_mass(double share) {
  const auto mass_of = [&](int word) {
    return std::exp(static_cast<double>(log_p_[static_cast<std::size_t>(word)]));
  };
  double total = 0, mass = 0;
  if (ranked_.size() == log_p_.size()) {
    total = view(log_p_).exp().cast<double>().sum();
  } else {
    for (const int word : ranked_) total += mass_of(word);
  }
  std::size_t ranked = 0, enough = 0;
  while (enough < ranked_.size() && (enough == 0 || mass < share * total)) {
    if (enough == ranked) {
      const std::size_t more = std::min(ranked_.size(), std::max<std::size_t>(64, 2 * ranked));
      rank(ranked, more);
      ranked = more;
    }
    mass += mass_of(ranked_[enough++]);
  }
  return enough;
}

void Sampler::keep_some() {
  ranked_.clear();
  if (options_.top_k == 0 && options_.top_p >= 1 && options_.min_p == 0) return;
  ranked_.resize(log_p_.size());
  std::iota(ranked_.begin(), ranked_.end(), 0);
  if (options_.top_k > 0) {
    const std::size_t kept = std::min(ranked_.size(), static_cast<std::size_t>(options_.top_k));
    rank(0, kept);
    ranked_.resize(kept);
  }
  if (options_.top_p < 1) ranked_.resize(reach_mass(options_.top_p));
  if (options_.min_p > 0) {
    // The most probable word was never dropped.
    const double least = static_cast<double>(view(log_p_).maxCoeff()) + std::log(options_.min_p);
    std::erase_if(ranked_, [&](int word) {
      return static_cast<double>(log_p_[static_cast<std::size_t>(word)]) < least;
    });
  }
}

// p^(1/T) of the words that are left, the largest 1.
void Sampler::weigh() {
  if (ranked_.empty()) {
    weights_ = log_p_;
  } else {
    weights_.resize(ranked_.size());
    for (std::size_t i = 0; i < ranked_.size(); ++i) {
      weights_[i] = log_p_[static_cast<std::size_t>(ranked_[i])];
    }
  }
  Values weights = view(weights_);
  // A tiny temperature must not make the largest one 0 times infinity.
  const Real inverse = static_cast<Real>(std::min(1 / options_.temperature, 1e30));
  weights = (weights - weights.maxCoeff()).eval() * inverse;
  // Eigen's exp of -infinity is a little above 0.
  weights = weights.exp();
  weights = (weights > kImpossible).select(weights, Real(0));
}

int Sampler::pick(double uniform) {
  weigh();
  // First the block, then the word: sums of blocks are quick.
  const auto size = static_cast<Index>(weights_.size());
  sums_.clear();
  double total = 0;
  for (Index begin = 0; begin < size; begin += kBlock) {
    const Index length = std::min(kBlock, size - begin);
    sums_.push_back(view(weights_).segment(begin, length).cast<double>().sum());
    total += sums_.back();
  }
  // Behind the last word, rounding may have left a sliver: that is its.
  while (sums_.back() == 0) sums_.pop_back();
  double rest = uniform * total;
  std::size_t block = 0;
  while (block + 1 < sums_.size() && rest >= sums_[block]) rest -= sums_[block++];
  std::size_t last = 0;
  const std::size_t begin = block * static_cast<std::size_t>(kBlock);
  const std::size_t end = std::min(weights_.size(), begin + static_cast<std::size_t>(kBlock));
  for (std::size_t i = begin; i < end && rest >= 0; ++i) {
    if (weights_[i] == 0) continue;
    rest -= static_cast<double>(weights_[i]);
    last = i;
  }
  return ranked_.empty() ? static_cast<int>(last) : ranked_[last];
}

int Sampler::draw(std::span<const Real> log_probabilities, std::span<const int> before) {
  assert(!log_probabilities.empty());
  log_p_.assign(log_probabilities.begin(), log_probabilities.end());
  penalise(before);
  if (options_.temperature == 0) {
    return static_cast<int>(std::max_element(log_p_.begin(), log_p_.end()) - log_p_.begin());
  }
  keep_some();
  return pick(uniform_at(derive_key(options_.seed, "sample"), draws_++));
}

std::uint64_t sample_seed(std::uint64_t seed, std::uint64_t prompt, std::uint64_t sample) {
  if (prompt == 0 && sample == 0) return seed;
  return derive_key(derive_key(derive_key(seed, "samples"), prompt), sample) >> 12;
}

}  // namespace sluice::model
