#include "sluice/base/memory.h"

#include <catch2/catch.hpp>
#include <limits>
#include <string>
#include <vector>

#include "sluice/base/error.h"

namespace sluice {
namespace {

TEST_CASE("Memory: what fits is granted, what does not is refused with both sizes", "[base]") {
  const double most = static_cast<double>(usable_memory());
  CHECK(most > 1e8);
  CHECK_NOTHROW(require_memory(most, "a test"));
  for (const double bytes : {2 * most, 1e30, std::numeric_limits<double>::infinity()}) {
    try {
      require_memory(bytes, "a test");
      FAIL("granted");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::kNoResource);
      CHECK(std::string(error.what()).find("a test") != std::string::npos);
    }
  }
}

TEST_CASE("Memory: what is touched is resident, and the peak remembers it", "[base]") {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const ResidentMemory before = resident_memory();
  {
    const std::vector<char> touched(kBytes, 1);
    const ResidentMemory with = resident_memory();
    CHECK(static_cast<double>(with.now - before.now) > 0.9 * kBytes);
    CHECK(with.peak >= with.now);
  }
  const ResidentMemory after = resident_memory();
  CHECK(static_cast<double>(after.now) < static_cast<double>(before.now) + 0.5 * kBytes);
  CHECK(static_cast<double>(after.peak - before.now) > 0.9 * kBytes);
}

#ifdef __GLIBC__
TEST_CASE("Memory: what was freed goes back to the system", "[base]") {
  constexpr std::size_t kPieces = 1000, kPiece = std::size_t{64} << 10;  // as the heap keeps
  std::vector<std::vector<char>> pieces;
  for (std::size_t i = 0; i < kPieces; ++i) pieces.emplace_back(kPiece, 1);
  const std::vector<char> last(kPiece, 1);  // behind which nothing is given back by itself
  const auto held = static_cast<double>(resident_memory().now);
  pieces.clear();
  return_free_memory();
  CHECK(held - static_cast<double>(resident_memory().now) > 0.9 * kPieces * kPiece);
  CHECK(last.back() == 1);
}
#endif

}  // namespace
}  // namespace sluice
