#pragma once

#include <cstdint>
#include <optional>
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

// Words [begin, end) of a distribution: log p = log_mass + log_p[word - begin]. log_p empty: not
// known, apart from what they have together, exp(log_mass); known words have log_mass as they come.
struct WordPart {
  Index begin = 0, end = 0;
  Real log_mass = 0;
  std::span<const Real> log_p = {};
  bool known() const { return !log_p.empty(); }
};
// Of a word of a part that is known.
Real log_probability(std::span<const WordPart> parts, int word);

// A word, or -1 where it depends on a part that is not known: `wanted`.
struct Draw {
  int word = -1;
  std::size_t wanted = 0;
};

// Draws words from a distribution. Order of operations, on the model's own distribution until the
// last: repeat penalty, top-k, top-p (mass of what top-k left), min-p, temperature, draw. Draw
// number n of a seed is a function of (seed, n), the distribution and the penalised words alone.
// Equal probabilities rank by word id.
//
// Of a distribution in parts not all need be known. The word is that of the whole distribution, up
// to the rounding of its weights and sums: a part that is not known is asked for unless no word of
// it can be the one, or move it. What is certain of n words of mass m is that sum p^a lies between
// m^a and m^a n^(1-a), their ends where one word has it all and where each has the same.
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
  // A word from parts that follow one another, the first of them known. Where one is wanted, this
  // is the same draw again once that is known.
  Draw draw(std::span<const WordPart> parts, std::span<const int> before = {});

 private:
  // What the words of a part weigh together, p^(1/T), and the sums of its blocks where it is known.
  struct PartWeight {
    double low = 0, high = 0;  // one number where it is known
    std::size_t first_block = 0, blocks = 0;
    double middle() const { return (low + high) / 2; }
    double slack() const { return (high - low) / 2; }
  };

  bool truncates() const { return options_.top_k > 0 || options_.top_p < 1 || options_.min_p > 0; }
  // Those of `before` that are penalised, each once.
  std::vector<int> recent_words(std::span<const int> before) const;
  // Makes parts_ what the words are drawn from.
  void take(std::span<const WordPart> parts, std::span<const int> recent);
  Draw most_probable() const;
  // Leaves in ranked_ the words that may be drawn; or a part to know first.
  std::optional<std::size_t> keep_some();
  // Of the parts that are not known the most probable, if it is at least so; none: they do not
  // matter.
  std::optional<std::size_t> missing(double least) const;
  // Places [first, count) of ranked_ get the most probable words from there on, in order.
  void rank(std::size_t first, std::size_t count);
  // How many of the most probable words have this share of the mass of all in ranked_, or with
  // `all` of the whole distribution.
  std::size_t reach_mass(double share, bool all);
  double mass_of_all();
  Draw pick(std::span<const WordPart> parts);
  void weigh(std::span<const WordPart> parts);
  // Of one block, to weights_.
  double weigh_block(const WordPart& part, Index block);
  // The word of a known part with so much weight before it there.
  int word_at(const WordPart& part, const PartWeight& weight, double before);

  SamplerOptions options_;
  std::uint64_t draws_ = 0;
  std::vector<WordPart> parts_;
  std::vector<Real> log_p_;  // [V], of the parts where they are changed or ranked
  std::vector<int> ranked_;
  std::vector<Real> kept_;     // of these
  std::vector<Real> weights_;  // of a block
  std::vector<double> sums_;   // of blocks of weights
  std::vector<PartWeight> masses_;
  Real largest_ = 0, inverse_ = 1;  // weights are exp((log p - largest) * inverse)
};

// The seed of a prompt's sample, whatever else is asked for: the first sample of the first prompt
// (0, 0) has `seed` itself, the others one below 2^52, which survives JSON readers that know
// doubles only.
std::uint64_t sample_seed(std::uint64_t seed, std::uint64_t prompt, std::uint64_t sample);

}  // namespace sluice::model
