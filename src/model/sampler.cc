#include "sluice/model/sampler.h"

#include <Eigen/Core>
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "sluice/base/random.h"
#include "sluice/kernels/exponentials.h"

namespace sluice::model {
namespace {

using Values = Eigen::Map<const Eigen::Array<Real, Eigen::Dynamic, 1>>;

constexpr Index kBlock = 256;  // words

// Of a part that is known.
Real largest_of(const WordPart& part) {
  return part.log_mass +
         Values(part.log_p.data(), static_cast<Index>(part.log_p.size())).maxCoeff();
}

}  // namespace

Real log_probability(std::span<const WordPart> parts, int word) {
  for (const WordPart& part : parts) {
    if (word < part.end) {
      return part.log_mass + part.log_p[static_cast<std::size_t>(word - part.begin)];
    }
  }
  assert(false);
  return 0;
}

std::vector<int> Sampler::recent_words(std::span<const int> before) const {
  if (options_.repeat_penalty == 1) return {};
  const std::size_t window =
      std::min(before.size(), static_cast<std::size_t>(options_.repeat_window));
  std::vector<int> recent(before.end() - static_cast<std::ptrdiff_t>(window), before.end());
  std::sort(recent.begin(), recent.end());
  recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
  return recent;
}

void Sampler::take(std::span<const WordPart> parts, std::span<const int> recent) {
  parts_.assign(parts.begin(), parts.end());
  const bool ranks = truncates() && options_.temperature != 0;
  if (recent.empty() && !ranks) return;
  log_p_.resize(static_cast<std::size_t>(parts.back().end));
  for (WordPart& part : parts_) {
    if (!part.known()) continue;
    const auto begin = static_cast<std::size_t>(part.begin);
    std::transform(part.log_p.begin(), part.log_p.end(), log_p_.data() + begin,
                   [&](Real within) { return part.log_mass + within; });
    part.log_p = std::span<const Real>(log_p_).subspan(begin, part.log_p.size());
    part.log_mass = 0;
  }
  for (const int word : recent) {
    Real& log_p = log_p_[static_cast<std::size_t>(word)];
    // An impossible word stays one, whatever it is multiplied by.
    if (std::isfinite(log_p)) log_p *= static_cast<Real>(options_.repeat_penalty);
  }
}

Draw Sampler::most_probable() const {
  int word = 0;
  Real best = -std::numeric_limits<Real>::infinity();
  for (const WordPart& part : parts_) {
    if (!part.known()) continue;
    const Real largest = largest_of(part);
    if (!(largest > best)) continue;
    best = largest;
    const auto first = std::find_if(part.log_p.begin(), part.log_p.end(),
                                    [&](Real log_p) { return part.log_mass + log_p == largest; });
    word = static_cast<int>(part.begin + (first - part.log_p.begin()));
  }
  const std::optional<std::size_t> wanted = missing(static_cast<double>(best));
  // Of equals the first counts: those behind do not matter.
  if (wanted && (parts_[*wanted].log_mass > best || parts_[*wanted].begin < word)) {
    return {.wanted = *wanted};
  }
  return {.word = word};
}

std::optional<std::size_t> Sampler::missing(double least) const {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const WordPart& part = parts_[i];
    if (part.known() || !(static_cast<double>(part.log_mass) >= least)) continue;
    if (!found || part.log_mass > parts_[*found].log_mass) found = i;
  }
  return found;
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

double Sampler::mass_of_all() {
  double mass = 0;
  for (const WordPart& part : parts_) {
    if (!part.known()) {
      mass += std::exp(static_cast<double>(part.log_mass));
      continue;
    }
    kept_.resize(part.log_p.size());
    mass += kernels::exponentials(part.log_p, 0, 1, kept_);
  }
  return mass;
}

// Words are ranked as they are needed: most distributions need few, and to sort a whole vocabulary
// would cost more than the network.
std::size_t Sampler::reach_mass(double share, bool all) {
  const auto mass_of = [&](int word) {
    return std::exp(static_cast<double>(log_p_[static_cast<std::size_t>(word)]));
  };
  double total = 0, mass = 0;
  if (all) {
    total = mass_of_all();
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

// Words that are kept outrank all others. So they are those of the whole distribution if the least
// of them is more probable than any that is not known, and there are others.
std::optional<std::size_t> Sampler::keep_some() {
  ranked_.clear();
  for (const WordPart& part : parts_) {
    for (Index word = part.begin; part.known() && word < part.end; ++word) {
      ranked_.push_back(static_cast<int>(word));
    }
  }
  const std::size_t known = ranked_.size();
  const auto log_p = [&](int word) {
    return static_cast<double>(log_p_[static_cast<std::size_t>(word)]);
  };
  const auto missing_after = [&] {
    constexpr double kAny = -std::numeric_limits<double>::infinity();
    return missing(ranked_.size() == known ? kAny : log_p(ranked_.back()));
  };
  if (options_.top_k > 0) {
    const std::size_t kept = std::min(known, static_cast<std::size_t>(options_.top_k));
    rank(0, kept);
    ranked_.resize(kept);
    if (const auto wanted = missing_after()) return wanted;
  }
  if (options_.top_p < 1) {
    ranked_.resize(reach_mass(options_.top_p, options_.top_k == 0));
    if (const auto wanted = missing_after()) return wanted;
  }
  if (options_.min_p > 0) {
    // The most probable word was never dropped.
    double largest = log_p(ranked_.front());
    for (const int word : ranked_) largest = std::max(largest, log_p(word));
    const double least = largest + std::log(options_.min_p);
    if (options_.top_k == 0 && options_.top_p >= 1) {
      if (const auto wanted = missing(least)) return wanted;
    }
    std::erase_if(ranked_, [&](int word) { return log_p(word) < least; });
  }
  return std::nullopt;
}

double Sampler::weigh_block(const WordPart& part, Index block) {
  const auto begin = static_cast<std::size_t>(block * kBlock);
  const std::size_t size = std::min(part.log_p.size() - begin, static_cast<std::size_t>(kBlock));
  weights_.resize(size);
  return kernels::exponentials(part.log_p.subspan(begin, size), largest_ - part.log_mass, inverse_,
                               weights_);
}

void Sampler::weigh(std::span<const WordPart> parts) {
  largest_ = -std::numeric_limits<Real>::infinity();
  for (const WordPart& part : parts) {
    largest_ = std::max(largest_, part.known() ? largest_of(part) : part.log_mass);
  }
  // A tiny temperature must not make the largest one 0 times infinity.
  inverse_ = static_cast<Real>(std::min(1 / options_.temperature, 1e30));
  sums_.clear();
  masses_.clear();
  for (const WordPart& part : parts) {
    PartWeight& mass = masses_.emplace_back();
    if (part.known()) {
      mass.first_block = sums_.size();
      const auto size = static_cast<Index>(part.log_p.size());
      for (Index block = 0; block * kBlock < size; ++block) {
        sums_.push_back(weigh_block(part, block));
        mass.low += sums_.back();
      }
      mass.high = mass.low;
      mass.blocks = sums_.size() - mass.first_block;
      continue;
    }
    const auto power = static_cast<double>(inverse_);
    const double log_mass = static_cast<double>(part.log_mass) - static_cast<double>(largest_);
    const double one = std::exp(power * log_mass);
    const double even = std::exp(
        power * log_mass + (1 - power) * std::log(static_cast<double>(part.end - part.begin)));
    mass.low = std::min(one, even);
    mass.high = std::max(one, even);
  }
}

int Sampler::word_at(const WordPart& part, const PartWeight& weight, double before) {
  const double* sums = sums_.data() + weight.first_block;
  // Behind the last word, rounding may have left a sliver: that is its.
  std::size_t end = weight.blocks;
  while (end > 1 && sums[end - 1] == 0) --end;
  std::size_t block = 0;
  while (block + 1 < end && before >= sums[block]) before -= sums[block++];
  weigh_block(part, static_cast<Index>(block));
  std::size_t last = 0;
  for (std::size_t i = 0; i < weights_.size() && before >= 0; ++i) {
    if (weights_[i] == 0) continue;
    before -= static_cast<double>(weights_[i]);
    last = i;
  }
  return static_cast<int>(part.begin + static_cast<Index>(block) * kBlock +
                          static_cast<Index>(last));
}

// First the part, then the block, then the word.
Draw Sampler::pick(std::span<const WordPart> parts) {
  weigh(parts);
  const double uniform = uniform_at(derive_key(options_.seed, "sample"), draws_);
  double total = 0;
  std::size_t last = 0, widest = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    total += masses_[i].middle();
    if (masses_[i].middle() > 0) last = i;
    if (masses_[i].slack() > masses_[widest].slack()) widest = i;
  }
  // At a temperature so tiny that the rounding of a tail's terms outweighs it.
  if (total == 0) return most_probable();
  double before = uniform * total;
  std::size_t at = 0;
  while (at < last && before >= masses_[at].middle()) before -= masses_[at++].middle();
  if (!parts[at].known()) return {.wanted = at};
  // A weight moves the draw by `uniform` of what it grows by, less all of it where it comes first.
  double slack = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    slack += (i < at ? 1 - uniform : uniform) * masses_[i].slack();
  }
  const int word = word_at(parts[at], masses_[at], before);
  if (slack > 0 && (before - slack < 0 || before + slack >= masses_[at].low ||
                    word_at(parts[at], masses_[at], before - slack) != word ||
                    word_at(parts[at], masses_[at], before + slack) != word)) {
    return {.wanted = widest};
  }
  ++draws_;
  return {.word = word};
}

Draw Sampler::draw(std::span<const WordPart> parts, std::span<const int> before) {
  assert(!parts.empty() && parts.front().known());
  const std::vector<int> recent = recent_words(before);
  for (const int word : recent) {
    const auto part = std::find_if(parts.begin(), parts.end(),
                                   [&](const WordPart& some) { return word < some.end; });
    if (!part->known()) return {.wanted = static_cast<std::size_t>(part - parts.begin())};
  }
  take(parts, recent);
  if (options_.temperature == 0) return most_probable();
  if (!truncates()) return pick(parts_);
  if (const std::optional<std::size_t> wanted = keep_some()) return {.wanted = *wanted};
  kept_.resize(ranked_.size());
  std::transform(ranked_.begin(), ranked_.end(), kept_.begin(),
                 [&](int word) { return log_p_[static_cast<std::size_t>(word)]; });
  const WordPart kept = {.end = static_cast<Index>(kept_.size()), .log_p = kept_};
  return {.word = ranked_[static_cast<std::size_t>(pick({&kept, 1}).word)]};
}

int Sampler::draw(std::span<const Real> log_probabilities, std::span<const int> before) {
  const WordPart all = {.end = static_cast<Index>(log_probabilities.size()),
                        .log_p = log_probabilities};
  return draw({&all, 1}, before).word;
}

std::uint64_t sample_seed(std::uint64_t seed, std::uint64_t prompt, std::uint64_t sample) {
  if (prompt == 0 && sample == 0) return seed;
  return derive_key(derive_key(derive_key(seed, "samples"), prompt), sample) >> 12;
}

}  // namespace sluice::model
