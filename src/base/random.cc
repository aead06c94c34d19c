#include "sluice/base/random.h"

#include <bit>
#include <cmath>
#include <numbers>

namespace sluice {
namespace {

// More rounds than the four that make a Feistel network a strong permutation in theory: here the
// halves are a few bits wide, where four leave visible structure.
constexpr unsigned kRounds = 8;

}  // namespace

std::uint64_t derive_key(std::uint64_t key, std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3ULL;
  }
  return derive_key(key, hash);
}

double uniform_at(std::uint64_t key, std::uint64_t position) {
  return static_cast<double>(derive_key(key, position) >> 11) * 0x1p-53;
}

double normal_at(std::uint64_t key, std::uint64_t position) {
  // 1 - u lies in (0, 1], so the logarithm is finite.
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform_at(key, 2 * position)));
  return radius * std::cos(2.0 * std::numbers::pi * uniform_at(key, 2 * position + 1));
}

std::uint64_t permuted_index(std::uint64_t key, std::uint64_t size, std::uint64_t index) {
  if (size == 1) return 0;
  const unsigned half = (static_cast<unsigned>(std::bit_width(size - 1)) + 1) / 2;
  const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
  // The network permutes 4^half >= size numbers; its cycle through `index` comes back inside.
  do {
    std::uint64_t left = index >> half;
    std::uint64_t right = index & mask;
    for (unsigned round = 0; round < kRounds; ++round) {
      const std::uint64_t mixed = mix64(derive_key(key, round) + right) & mask;
      const std::uint64_t next = left ^ mixed;
      left = right;
      right = next;
    }
    index = (left << half) | right;
  } while (index >= size);
  return index;
}

}  // namespace sluice
