#include "sluice/base/memory.h"

#include <catch2/catch.hpp>
#include <limits>
#include <string>

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

}  // namespace
}  // namespace sluice
