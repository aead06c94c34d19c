#include "sluice/model/cutoffs.h"

#include <limits>
#include <numeric>

namespace sluice::model {
namespace {

constexpr double kTokensPerUpdate = 32;
constexpr double kWorthATail = 0.9;
constexpr Index kMostTails = 4, kLeastTailWidth = 8;

// Shares of targets among the words below each possible cutoff.
class Shares {
 public:
  explicit Shares(std::span<const std::uint64_t> counts) : below_(counts.size() + 1) {
    for (std::size_t i = 0; i < counts.size(); ++i) {
      below_[i + 1] = below_[i] + static_cast<double>(counts[i]);
    }
  }
  double between(Index begin, Index end) const {
    const double total = below_.back();
    if (total == 0) return 0;
    return (below_[static_cast<std::size_t>(end)] - below_[static_cast<std::size_t>(begin)]) /
           total;
  }
  Index words() const { return static_cast<Index>(below_.size()) - 1; }

 private:
  std::vector<double> below_;
};

double head_cost(const CutoffShape& shape, Index words, Index tails) {
  return static_cast<double>(words + tails) *
         (static_cast<double>(shape.tokens) + kTokensPerUpdate);
}

double tail_cost(const CutoffShape& shape, const Shares& shares, Index tail_width, Index begin,
                 Index end) {
  const double tokens =
      shares.between(begin, end) * static_cast<double>(shape.tokens) + kTokensPerUpdate;
  return tokens * static_cast<double>(end - begin + tail_width);
}

// 100, 150, 200, 300, 400, 500, 600, 800, 1000, 1500, ... below the vocabulary.
std::vector<Index> round_numbers(Index words) {
  std::vector<Index> found;
  for (Index decade = 100; decade < words; decade *= 10) {
    for (const Index tenths : {10, 15, 20, 30, 40, 50, 60, 80}) {
      const Index number = decade / 10 * tenths;
      if (number < words) found.push_back(number);
    }
  }
  return found;
}

}  // namespace

double adaptive_cost(const CutoffShape& shape, std::span<const std::uint64_t> counts,
                     std::span<const Index> cutoffs) {
  const Shares shares(counts);
  const auto tails = static_cast<Index>(cutoffs.size());
  if (tails == 0) return head_cost(shape, shares.words(), 0);
  double cost = head_cost(shape, cutoffs.front(), tails);
  Index width = shape.width;
  for (std::size_t i = 0; i < cutoffs.size(); ++i) {
    width /= shape.tail_div;
    const Index end = i + 1 < cutoffs.size() ? cutoffs[i + 1] : shares.words();
    cost += tail_cost(shape, shares, width, cutoffs[i], end);
  }
  return cost;
}

std::vector<Index> choose_cutoffs(const CutoffShape& shape, std::span<const std::uint64_t> counts) {
  const Shares shares(counts);
  std::vector<Index> ends = round_numbers(shares.words());
  std::vector<Index> best;
  double best_cost = head_cost(shape, shares.words(), 0);
  for (Index tails = 1; tails <= kMostTails; ++tails) {
    std::vector<Index> widths;
    Index width = shape.width;
    for (Index i = 0; i < tails; ++i) widths.push_back(width /= shape.tail_div);
    if (width < kLeastTailWidth) break;
    // cost[a]: of the tails from `tail` on when it begins at candidate a; next[tail][a]: where the
    // one after it begins. From the last tail backwards.
    const std::size_t n = ends.size();
    std::vector<double> cost(n);
    std::vector<std::vector<std::size_t>> next(static_cast<std::size_t>(tails));
    for (std::size_t a = 0; a < n; ++a) {
      cost[a] = tail_cost(shape, shares, widths.back(), ends[a], shares.words());
    }
    for (Index tail = tails - 2; tail >= 0; --tail) {
      const Index tail_width = widths[static_cast<std::size_t>(tail)];
      std::vector<double> longer(n, std::numeric_limits<double>::infinity());
      auto& choice = next[static_cast<std::size_t>(tail)];
      choice.assign(n, 0);
      for (std::size_t a = 0; a < n; ++a) {
        for (std::size_t b = a + 1; b < n; ++b) {
          const double total = cost[b] + tail_cost(shape, shares, tail_width, ends[a], ends[b]);
          if (total >= longer[a]) continue;
          longer[a] = total;
          choice[a] = b;
        }
      }
      cost = std::move(longer);
    }
    std::size_t at = 0;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t a = 0; a < n; ++a) {
      const double total = cost[a] + head_cost(shape, ends[a], tails);
      if (total >= least) continue;
      least = total;
      at = a;
    }
    if (least >= kWorthATail * best_cost) break;
    best_cost = least;
    best = {ends[at]};
    for (Index tail = 0; tail + 1 < tails; ++tail) {
      at = next[static_cast<std::size_t>(tail)][at];
      best.push_back(ends[at]);
    }
  }
  return best;
}

}  // namespace sluice::model
