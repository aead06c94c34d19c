#include "sluice/train/zipf.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "sluice/base/random.h"

namespace sluice::train {

namespace {
constexpr double kShift = 10;
}

ZipfText::ZipfText(Index vocabulary, std::uint64_t seed)
    : key_(derive_key(seed, "zipf")), below_(static_cast<std::size_t>(vocabulary) + 1) {
  assert(vocabulary >= 1);
  for (std::size_t w = 0; w + 1 < below_.size(); ++w) {
    below_[w + 1] = below_[w] + 1 / (static_cast<double>(w) + kShift);
  }
  const double total = below_.back();
  for (double& below : below_) below /= total;
}

int ZipfText::word(std::uint64_t n) const {
  // The last word ends at exactly 1, above every uniform number.
  const auto above = std::upper_bound(below_.begin(), below_.end(), uniform_at(key_, n));
  return static_cast<int>(above - below_.begin()) - 1;
}

double ZipfText::probability(Index begin, Index end) const {
  return below_[static_cast<std::size_t>(end)] - below_[static_cast<std::size_t>(begin)];
}

std::vector<std::uint64_t> ZipfText::counts(std::uint64_t tokens) const {
  std::vector<std::uint64_t> counts(below_.size() - 1);
  for (std::size_t w = 0; w < counts.size(); ++w) {
    const double mean = (below_[w + 1] - below_[w]) * static_cast<double>(tokens);
    counts[w] = static_cast<std::uint64_t>(std::max(1.0, std::floor(mean)));
  }
  // Differences of sums round: of two words that are about as frequent, the second may come first.
  std::sort(counts.begin(), counts.end(), std::greater<>());
  return counts;
}

std::vector<double> ZipfText::tail_shares(std::span<const Index> cutoffs) const {
  std::vector<double> shares;
  for (std::size_t i = 0; i < cutoffs.size(); ++i) {
    const Index end =
        i + 1 < cutoffs.size() ? cutoffs[i + 1] : static_cast<Index>(below_.size()) - 1;
    shares.push_back(probability(cutoffs[i], end));
  }
  return shares;
}

void ZipfText::fill(std::uint64_t number, Index sequences, Index time, text::Batch& batch,
                    Index context) const {
  const auto length = static_cast<std::uint64_t>(time);
  batch.sequences = sequences;
  batch.time = time;
  batch.scored = sequences * (time - context);
  batch.inputs.clear();
  batch.targets.clear();
  for (Index b = 0; b < sequences; ++b) {
    const std::uint64_t sample =
        number * static_cast<std::uint64_t>(sequences) + static_cast<std::uint64_t>(b);
    const std::uint64_t begin = sample * (length + 1);
    for (std::uint64_t t = 0; t < length; ++t) {
      batch.inputs.push_back(t == 0 ? word(begin) : batch.targets.back());
      batch.targets.push_back(word(begin + t + 1));
    }
    std::fill_n(batch.targets.end() - time, context, -1);
  }
}

}  // namespace sluice::train
