#include "sluice/model/cutoffs.h"

#include <limits>
#include <numeric>
#include <utility>

namespace sluice::model {
namespace {

constexpr double kTokens = 2048, kTokensPerUpdate = 32;
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

double head_cost(Index words, Index tails) {
  return static_cast<double>(words + tails) * (kTokens + kTokensPerUpdate);
}

double tail_cost(const Shares& shares, Index tail_width, Index begin, Index end) {
  const double tokens = shares.between(begin, end) * kTokens + kTokensPerUpdate;
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

struct Choice {
  double cost = std::numeric_limits<double>::infinity();
  std::vector<Index> cutoffs;
};

// The cheapest cutoffs among `ends` for tails of these widths, by dynamic programming from the last
// tail backwards: cost[a] is that of all tails from the current one on when it begins at ends[a],
// next[tail][a] where the one after it then begins.
Choice cheapest(const Shares& shares, std::span<const Index> ends, std::span<const Index> widths) {
  const std::size_t n = ends.size(), tails = widths.size();
  std::vector<double> cost(n);
  std::vector<std::vector<std::size_t>> next(tails, std::vector<std::size_t>(n));
  for (std::size_t a = 0; a < n; ++a) {
    cost[a] = tail_cost(shares, widths.back(), ends[a], shares.words());
  }
  for (std::size_t tail = tails - 1; tail-- > 0;) {
    std::vector<double> longer(n, std::numeric_limits<double>::infinity());
    for (std::size_t a = 0; a < n; ++a) {
      for (std::size_t b = a + 1; b < n; ++b) {
        const double total = cost[b] + tail_cost(shares, widths[tail], ends[a], ends[b]);
        if (total >= longer[a]) continue;
        longer[a] = total;
        next[tail][a] = b;
      }
    }
    cost = std::move(longer);
  }
  Choice best;
  std::size_t at = 0;
  for (std::size_t a = 0; a < n; ++a) {
    const double total = cost[a] + head_cost(ends[a], static_cast<Index>(tails));
    if (total >= best.cost) continue;
    best.cost = total;
    at = a;
  }
  for (std::size_t tail = 0; tail < tails && n > 0; at = next[tail++][at]) {
    best.cutoffs.push_back(ends[at]);
  }
  return best;
}

}  // namespace

double adaptive_cost(const CutoffShape& shape, std::span<const std::uint64_t> counts,
                     std::span<const Index> cutoffs) {
  const Shares shares(counts);
  const auto tails = static_cast<Index>(cutoffs.size());
  if (tails == 0) return head_cost(shares.words(), 0);
  double cost = head_cost(cutoffs.front(), tails);
  Index width = shape.width;
  for (std::size_t i = 0; i < cutoffs.size(); ++i) {
    width /= shape.tail_div;
    const Index end = i + 1 < cutoffs.size() ? cutoffs[i + 1] : shares.words();
    cost += tail_cost(shares, width, cutoffs[i], end);
  }
  return cost;
}

std::vector<Index> choose_cutoffs(const CutoffShape& shape, std::span<const std::uint64_t> counts) {
  const Shares shares(counts);
  const std::vector<Index> ends = round_numbers(shares.words());
  Choice best = {.cost = head_cost(shares.words(), 0), .cutoffs = {}};
  std::vector<Index> widths;
  for (Index width = shape.width / shape.tail_div;
       width >= kLeastTailWidth && static_cast<Index>(widths.size()) < kMostTails;
       width /= shape.tail_div) {
    widths.push_back(width);
    Choice choice = cheapest(shares, ends, widths);
    if (choice.cost >= kWorthATail * best.cost) break;
    best = std::move(choice);
  }
  return best.cutoffs;
}

}  // namespace sluice::model
