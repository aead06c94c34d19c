#include "sluice/train/progress.h"

#include <catch2/catch.hpp>
#include <limits>

namespace sluice::train {
namespace {

TEST_CASE("Progress: durations name their two largest units", "[train]") {
  CHECK(format_duration(0) == "0s");
  CHECK(format_duration(-3) == "0s");
  CHECK(format_duration(12.4) == "12s");
  CHECK(format_duration(59.6) == "1m00s");
  CHECK(format_duration(245) == "4m05s");
  CHECK(format_duration(3599.4) == "59m59s");
  CHECK(format_duration(3599.6) == "1h00m");
  CHECK(format_duration(3720) == "1h02m");
  CHECK(format_duration(360000) == "100h00m");
  CHECK(format_duration(std::numeric_limits<double>::infinity()) == "277777777777h46m");
}

TEST_CASE("Progress: counts are short and change their unit where they would round up to it",
          "[train]") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(999.4) == "999");
  CHECK(format_count(999.6) == "1.0k");
  CHECK(format_count(12345) == "12.3k");
  CHECK(format_count(999600) == "1.0M");
  CHECK(format_count(1234567) == "1.2M");
  CHECK(format_count(2.5e9) == "2.5G");
}

}  // namespace
}  // namespace sluice::train
