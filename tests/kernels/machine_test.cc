#include "sluice/kernels/machine.h"

#include <catch2/catch.hpp>
#include <vector>

namespace sluice::kernels {
namespace {

constexpr double kSeconds = 0.005;

TEST_CASE("measure_product_peak: the rate of a processor", "[kernels]") {
  ThreadPool pool(1);
  const double flops = measure_product_peak(pool, kSeconds);
  CHECK(flops > 1e8);   // an emulator
  CHECK(flops < 1e12);  // one core in f32
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
