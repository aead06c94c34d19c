#include "sluice/kernels/machine.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "sluice/kernels/instruction_set.h"
#include "src/kernels/simd/tile_peak.h"

namespace sluice::kernels {
namespace {

constexpr double kSeconds = 0.005;

TEST_CASE("measure_product_peak: the rate of a processor", "[kernels]") {
  ThreadPool pool(1);
  const double flops = measure_product_peak(pool, kSeconds);
  CHECK(flops > 1e8);   // an emulator
  CHECK(flops < 1e12);  // one core in f32
}

// Kernels that count what they are asked for.
struct Counted {
  static inline int begun = 0, ended = 0;
  static inline Index products = 0;
  static inline double multiply_adds = 0;
  static void begin() { ++begun; }
  static void end() { ++ended; }
  static void product(const simd::TileProduct& tile) {
    CHECK(begun == ended + 1);
    CHECK_FALSE(tile.add);
    ++products;
    multiply_adds += static_cast<double>(tile.chunks * tile.taps * simd::kLine * tile.rows * 32);
  }
};

TEST_CASE("TilePeak: counts the work that it gives to kernels", "[kernels]") {
  simd::TilePeak peak;
  const simd::TileKernels kernels = {.begin = Counted::begin,
                                     .end = Counted::end,
                                     .product = Counted::product,
                                     .gradient = nullptr};
  const double flop = peak.multiply(kernels, 5);
  CHECK(Counted::begun == 1);
  CHECK(Counted::ended == 1);
  CHECK(Counted::products == 5);
  CHECK(flop == 2 * Counted::multiply_adds);
  // All of it in the smallest first cache of a CPU with tiles, 48 KB; numbers of many kinds.
  CHECK(sizeof(peak) < 48 * 1024);
  const simd::TileProduct& tile = peak.product();
  CHECK(tile.a_chunk == 0);
  CHECK(tile.b_chunk == 0);
  std::vector<simd::Bfloat16> numbers(tile.a, tile.a + tile.taps * tile.a_tap);
  std::sort(numbers.begin(), numbers.end());
  CHECK(std::unique(numbers.begin(), numbers.end()) - numbers.begin() > 100);
}

TEST_CASE("measure_tile_peak: beyond what vectors of floats do", "[kernels]") {
  const auto sets = supported_instruction_sets();
  if (std::find(sets.begin(), sets.end(), InstructionSet::kAmx) == sets.end()) return;
  ThreadPool pool(1);
  CHECK(measure_tile_peak(pool, kSeconds) > 2 * measure_product_peak(pool, kSeconds));
}

TEST_CASE("measure_read_rate: the rate of caches, whatever the size", "[kernels]") {
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{5}, std::size_t{100003}, std::size_t{1} << 22}) {
    CAPTURE(size);
    const std::vector<std::byte> memory(size);
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const double rate = measure_read_rate(pool, memory, kSeconds);
      CHECK(rate > 1e6);
      CHECK(rate < 4e12);
    }
  }
}

TEST_CASE("widest_instructions: has a name", "[kernels]") {
  CHECK_FALSE(widest_instructions().empty());
}

}  // namespace
}  // namespace sluice::kernels
