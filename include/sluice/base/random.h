#pragma once

#include <cstdint>
#include <string_view>

// Counter-based randomness: every number is a pure function of a key and a position, so there is no
// generator state to save, and masks, orders and initial values agree over threads, batch splits
// and resumes. These functions are frozen to the bit by tests: checkpoints depend on them.
namespace sluice {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection that avalanches all 64 bits.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// A new key from a key and a number; chains keep their order: derive(derive(k, a), b) differs from
// derive(derive(k, b), a).
constexpr std::uint64_t derive_key(std::uint64_t key, std::uint64_t number) {
  return mix64(mix64(key) + 0x9e3779b97f4a7c15ULL * (number + 1));
}

// A new key from a key and a name (FNV-1a folded into derive_key).
std::uint64_t derive_key(std::uint64_t key, std::string_view name);

// Uniform in [0, 1) with 53 random bits, and standard normal (Box-Muller on two of them).
double uniform_at(std::uint64_t key, std::uint64_t position);
double normal_at(std::uint64_t key, std::uint64_t position);

// A seeded permutation of 0..size-1 evaluated at one point in O(1) time and memory: a balanced
// Feistel network on the smallest even number of bits that covers size, walked until it lands
// inside (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). size >= 1, index <
// size.
std::uint64_t permuted_index(std::uint64_t key, std::uint64_t size, std::uint64_t index);

}  // namespace sluice
