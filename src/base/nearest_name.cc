#include "sluice/base/nearest_name.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace sluice {
namespace {

// Longer than any name of ours: hostile input must not cost quadratic time.
constexpr std::size_t kLongestName = 64;

std::string folded(std::string_view name) {
  std::string result(name);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-') c = '_';
  }
  return result;
}

// Levenshtein's distance with swaps of neighbours (optimal string alignment), row by row.
std::size_t typing_slips(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t differs = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + differs});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    std::swap(before_last, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::optional<std::string_view> nearest_name(std::string_view name,
                                             std::span<const std::string_view> candidates) {
  if (name.empty() || name.size() > kLongestName) return std::nullopt;
  const std::string typed = folded(name);
  std::size_t best_slips = std::max<std::size_t>(1, typed.size() / 3) + 1;
  std::optional<std::string_view> best;
  for (const std::string_view candidate : candidates) {
    const std::size_t slips = typing_slips(typed, folded(candidate));
    // With as many slips as letters nothing of the name is left.
    if (slips < best_slips && slips < std::max(typed.size(), candidate.size())) {
      best_slips = slips;
      best = candidate;
    }
  }
  if (best || typed.size() < 3) return best;
  for (const std::string_view candidate : candidates) {
    if (folded(candidate).starts_with(typed)) return candidate;
  }
  return std::nullopt;
}

std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates) {
  const auto nearest = nearest_name(name, candidates);
  return nearest ? "; did you mean \"" + std::string(*nearest) + "\"?" : "";
}

std::string comma_separated(std::span<const std::string_view> names) {
  std::string result;
  for (const std::string_view name : names) {
    if (!result.empty()) result += ", ";
    result += name;
  }
  return result;
}

}  // namespace sluice
