#include "sluice/base/random.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <vector>

using namespace sluice;

TEST_CASE("Random: keys are frozen", "[base]") {
  CHECK(mix64(1) == 0x5692161d100b05e5ULL);
  CHECK(derive_key(1, 2) == 0x70335fc3daf3d8a7ULL);
  CHECK(derive_key(1, "order") == 0xdb57cd5fe0ffc3b5ULL);
  CHECK(derive_key(0, "") == 0xef9ead53f3d83e9fULL);
}

TEST_CASE("Random: chains of keys keep their order and names differ", "[base]") {
  CHECK(derive_key(derive_key(7, 1), 2) != derive_key(derive_key(7, 2), 1));
  CHECK(derive_key(7, "offset") != derive_key(7, "order"));
  CHECK(derive_key(7, "ab") != derive_key(7, "ba"));
  CHECK(derive_key(7, "offset") != derive_key(8, "offset"));
}

TEST_CASE("Random: uniform numbers are frozen to the bit", "[base]") {
  CHECK(uniform_at(1, 0) == 0x1.7fdf0061bb85ap-1);
  CHECK(uniform_at(1, 1) == 0x1.7d54b3920bcaap-2);
  CHECK(uniform_at(12345, 678) == 0x1.76d8799d8e0ecp-1);
}

TEST_CASE("Random: normal numbers are frozen to the last bits the C library may choose", "[base]") {
  CHECK(normal_at(1, 0) == Approx(-1.1575493713558918).epsilon(1e-15));
  CHECK(normal_at(1, 1) == Approx(1.0296951133292016).epsilon(1e-15));
  CHECK(normal_at(12345, 678) == Approx(-0.9975132196364962).epsilon(1e-15));
}

TEST_CASE("Random: uniform numbers fill [0, 1) evenly", "[base]") {
  constexpr int kNumbers = 200000, kBins = 20;
  double sum = 0, squares = 0;
  std::vector<int> bins(kBins);
  for (int i = 0; i < kNumbers; ++i) {
    const double u = uniform_at(99, static_cast<std::uint64_t>(i));
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    sum += u;
    squares += u * u;
    ++bins[static_cast<std::size_t>(u * kBins)];
  }
  // Five standard errors: sqrt(1/12/n) for the mean, sqrt(4/45/n) for the second moment.
  CHECK(std::abs(sum / kNumbers - 0.5) < 5 * std::sqrt(1.0 / 12 / kNumbers));
  CHECK(std::abs(squares / kNumbers - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / kNumbers));
  double chi2 = 0;
  constexpr double kExpected = static_cast<double>(kNumbers) / kBins;
  for (const int n : bins) chi2 += (n - kExpected) * (n - kExpected) / kExpected;
  CHECK(chi2 < 43.8);  // 99.9 % point of 19 degrees of freedom
}

TEST_CASE("Random: normal numbers have the moments and tails of N(0, 1)", "[base]") {
  constexpr int kNumbers = 200000;
  double sum = 0, squares = 0, fourth = 0, neighbours = 0, previous = 0;
  int beyond_two = 0;
  for (int i = 0; i < kNumbers; ++i) {
    const double x = normal_at(5, static_cast<std::uint64_t>(i));
    REQUIRE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    neighbours += x * previous;
    previous = x;
    beyond_two += std::abs(x) > 2 ? 1 : 0;
  }
  const double error = 1 / std::sqrt(static_cast<double>(kNumbers));
  CHECK(std::abs(sum / kNumbers) < 5 * error);
  CHECK(std::abs(squares / kNumbers - 1) < 5 * std::sqrt(2.0) * error);
  CHECK(std::abs(fourth / kNumbers - 3) < 5 * std::sqrt(96.0) * error);
  CHECK(std::abs(neighbours / kNumbers) < 5 * error);
  CHECK(static_cast<double>(beyond_two) / kNumbers == Approx(0.0455).margin(5 * 0.21 * error));
}

TEST_CASE("Random: permuted_index is a bijection for every size and key", "[base]") {
  for (const std::uint64_t key : {0ULL, 1ULL, 0xdeadbeefULL, ~0ULL}) {
    for (std::uint64_t size = 1; size <= 300; ++size) {
      std::vector<bool> seen(size);
      for (std::uint64_t i = 0; i < size; ++i) {
        const std::uint64_t at = permuted_index(key, size, i);
        REQUIRE(at < size);
        REQUIRE_FALSE(seen[at]);
        seen[at] = true;
      }
    }
  }
}

TEST_CASE("Random: permuted_index reaches sizes up to 2^64", "[base]") {
  for (const unsigned bits : {32u, 33u, 62u, 63u}) {
    const std::uint64_t size = (std::uint64_t{1} << bits) + 1;
    CHECK(permuted_index(3, size, size - 1) < size);
    CHECK(permuted_index(3, size, 0) != permuted_index(3, size, 1));
  }
  CHECK(permuted_index(3, ~0ULL, ~0ULL - 1) < ~0ULL);
}

TEST_CASE("Random: permuted_index is frozen", "[base]") {
  std::vector<std::uint64_t> order;
  for (std::uint64_t i = 0; i < 10; ++i) order.push_back(permuted_index(42, 10, i));
  CHECK(order == std::vector<std::uint64_t>{9, 3, 1, 0, 5, 4, 6, 7, 8, 2});
  CHECK(permuted_index(42, 1000003, 500000) == 248864);
}

TEST_CASE("Random: every index goes everywhere equally often over keys", "[base]") {
  constexpr std::uint64_t kSize = 7;
  constexpr int kKeys = 14000;
  for (std::uint64_t i = 0; i < kSize; ++i) {
    std::vector<int> hits(kSize);
    for (int key = 0; key < kKeys; ++key) {
      ++hits[permuted_index(derive_key(11, static_cast<std::uint64_t>(key)), kSize, i)];
    }
    double chi2 = 0;
    for (const int n : hits) chi2 += (n - 2000.0) * (n - 2000.0) / 2000;
    CHECK(chi2 < 27.9);  // 99.99 % point of 6 degrees of freedom
  }
}
