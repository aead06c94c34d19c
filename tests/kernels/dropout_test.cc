#include "sluice/kernels/dropout.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <set>
#include <vector>

namespace sluice::kernels {
namespace {

using Mask = std::vector<bool>;

Mask mask(std::uint64_t key, std::uint64_t sequence, std::uint64_t t, std::size_t channels,
          double rate = 0.5) {
  Mask kept(channels);
  const RowKey row = row_key(key, sequence, t);
  for (std::size_t c = 0; c < channels; ++c) {
    kept[c] = channel_bits(row, static_cast<std::uint32_t>(c)) >= dropout_threshold(rate);
  }
  return kept;
}

// How many positions agree: for independent masks at rate 1/2 half of them, deviation sqrt(n)/2.
double agreement_in_deviations(const Mask& a, const Mask& b) {
  double same = 0;
  for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b[i];
  const double n = static_cast<double>(a.size());
  return std::abs(same - n / 2) / (std::sqrt(n) / 2);
}

}  // namespace

TEST_CASE("Dropout: the hash is frozen to the bit", "[kernels]") {
  CHECK(row_key(1, 2, 3).offset == 0xdb3fd840U);
  CHECK(row_key(1, 2, 3).inject == 0x679d70fbU);
  const RowKey row = {0x12345678U, 0x9abcdef0U};
  CHECK(channel_bits(row, 0) == 0x2efd548dU);
  CHECK(channel_bits(row, 1) == 0xbaa5b749U);
  CHECK(channel_bits(row, 1023) == 0x60596678U);
  CHECK(channel_bits({0, 0}, 0) == 0U);
}

TEST_CASE("Dropout: thresholds are the rate in 2^32nds", "[kernels]") {
  CHECK(dropout_threshold(0) == 0U);
  CHECK(dropout_threshold(0.25) == 0x40000000U);
  CHECK(dropout_threshold(0.5) == 0x80000000U);
  CHECK(dropout_threshold(0.1) == 429496730U);
  CHECK(dropout_threshold(1 - 1e-12) == 0xffffffffU);
}

TEST_CASE("Dropout: masks drop at their rate, over channels and over rows", "[kernels]") {
  const double rate = GENERATE(0.05, 0.2, 0.5, 0.9);
  constexpr std::size_t kRows = 2000, kChannels = 500;
  constexpr double n = kRows * kChannels;
  std::vector<double> dropped_in_column(kChannels);
  double dropped = 0;
  for (std::size_t t = 0; t < kRows; ++t) {
    const Mask kept = mask(77, 5, t, kChannels, rate);
    for (std::size_t c = 0; c < kChannels; ++c) {
      dropped += !kept[c];
      dropped_in_column[c] += !kept[c];
    }
  }
  const double spread = rate * (1 - rate);
  CHECK(std::abs(dropped - n * rate) < 4 * std::sqrt(n * spread));
  const auto [least, most] =
      std::minmax_element(dropped_in_column.begin(), dropped_in_column.end());
  CHECK(*least > kRows * rate - 5 * std::sqrt(kRows * spread));
  CHECK(*most < kRows * rate + 5 * std::sqrt(kRows * spread));
}

TEST_CASE("Dropout: masks of two rows, sequences or keys are not related by an index",
          "[kernels]") {
  constexpr std::size_t kChannels = 1024;
  const Mask one = mask(9, 4, 17, kChannels);
  const Mask other = GENERATE_COPY(mask(9, 4, 18, kChannels), mask(9, 5, 17, kChannels),
                                   mask(10, 4, 17, kChannels), mask(9, 17, 4, kChannels));
  double worst = agreement_in_deviations(one, other);
  // Neither shifted nor with the index XORed, for every shift and every XOR of that many bits.
  for (std::size_t by = 1; by < kChannels; ++by) {
    Mask shifted(kChannels), flipped(kChannels);
    for (std::size_t c = 0; c < kChannels; ++c) {
      shifted[c] = other[(c + by) % kChannels];
      flipped[c] = other[c ^ by];
    }
    worst = std::max(
        {worst, agreement_in_deviations(one, shifted), agreement_in_deviations(one, flipped)});
  }
  // The largest of 2000 normal deviations is about 3.5; a permuted copy has 32.
  CHECK(worst < 5);
}

TEST_CASE("Dropout: a locked mask is that of a sequence's first token, for all of them",
          "[kernels]") {
  Dropout dropout = {.key = 9, .rate = 0.5, .first_sequence = 3};
  const auto same = [](RowKey a, RowKey b) { return a.offset == b.offset && a.inject == b.inject; };
  CHECK(same(row_key(dropout, 1, 17), row_key(9, 4, 17)));
  dropout.locked = true;
  CHECK(same(row_key(dropout, 1, 17), row_key(9, 4, 0)));
  CHECK(!same(row_key(dropout, 1, 17), row_key(dropout, 2, 17)));
}

TEST_CASE("Dropout: words are left out at their rate, others for another key", "[kernels]") {
  constexpr int kWords = 20000;
  int dropped = 0, both = 0;
  for (int word = 0; word < kWords; ++word) {
    dropped += drops_word(5, 0.2, word);
    both += drops_word(5, 0.2, word) && drops_word(6, 0.2, word);
  }
  // Within five deviations.
  CHECK(std::abs(dropped - 0.2 * kWords) < 5 * std::sqrt(0.2 * 0.8 * kWords));
  CHECK(std::abs(both - 0.04 * kWords) < 5 * std::sqrt(0.04 * 0.96 * kWords));
}

TEST_CASE("Dropout: the bits of a row are distinct from another row's", "[kernels]") {
  // A hash that is one fixed function of (channel + offset) would map rows onto the same values.
  constexpr std::uint32_t kChannels = 4096;
  std::set<std::uint32_t> seen;
  for (const std::uint64_t t : {0, 1, 2, 3}) {
    const RowKey row = row_key(3, 0, t);
    for (std::uint32_t c = 0; c < kChannels; ++c) seen.insert(channel_bits(row, c));
  }
  CHECK(seen.size() > 4 * kChannels - 10);
}

}  // namespace sluice::kernels
