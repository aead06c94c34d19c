#include "sluice/text/permutation.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::text {

Permutation::Permutation(std::vector<int> model_ids) : to_model_(std::move(model_ids)) {
  const std::size_t n = to_model_.size();
  if (n > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    throw Error(ExitCode::kBadData, "vocabulary permutation: {} entries are too many", n);
  }
  to_tokenizer_.assign(n, -1);
  for (std::size_t i = 0; i < n; ++i) {
    const int id = to_model_[i];
    if (id < 0 || static_cast<std::size_t>(id) >= n) {
      throw Error(ExitCode::kBadData,
                  "vocabulary permutation: entry {}: id out of range (expected below {}, found {})",
                  i, n, id);
    }
    int& entry = to_tokenizer_[static_cast<std::size_t>(id)];
    if (entry != -1) {
      throw Error(ExitCode::kBadData, "vocabulary permutation: entries {} and {} are both id {}",
                  entry, i, id);
    }
    entry = static_cast<int>(i);
  }
}

Permutation Permutation::by_frequency(std::span<const std::uint64_t> counts) {
  std::vector<int> order(counts.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [counts](int a, int b) {
    return counts[static_cast<std::size_t>(a)] > counts[static_cast<std::size_t>(b)];
  });
  std::vector<int> model_ids(counts.size());
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    model_ids[static_cast<std::size_t>(order[rank])] = static_cast<int>(rank);
  }
  return Permutation(std::move(model_ids));
}

}  // namespace sluice::text
