#include "sluice/base/decimal.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <string>

#include "sluice/base/random.h"

namespace sluice {
namespace {

TEST_CASE("decimal_integer: the whole text is a number that fits", "[base]") {
  CHECK(decimal_integer("0") == 0);
  CHECK(decimal_integer("-12") == -12);
  CHECK(decimal_integer("9223372036854775807") == INT64_MAX);
  for (const char* bad : {"", "-", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "x", "--1",
                          "9223372036854775808", "nan"}) {
    INFO(bad);
    CHECK_FALSE(decimal_integer(bad).has_value());
  }
}

TEST_CASE("decimal_number: finite decimals only", "[base]") {
  CHECK(decimal_number("0.1") == 0.1);
  CHECK(decimal_number("-2e-3") == -0.002);
  CHECK(decimal_number(".5") == 0.5);
  for (const char* bad : {"", "inf", "-inf", "nan", "1e400", "0x1p3", "1,5", "1.5x", ".", "+1"}) {
    INFO(bad);
    CHECK_FALSE(decimal_number(bad).has_value());
  }
}

TEST_CASE("decimal_seconds: knows seconds, minutes and hours", "[base]") {
  CHECK(decimal_seconds("90s") == Seconds{90});
  CHECK(decimal_seconds("90m") == Seconds{5400});
  CHECK(decimal_seconds("1.5h") == Seconds{5400});
  CHECK(decimal_seconds("12") == Seconds{12});
  for (const char* bad : {"", "s", "m", "1d", "1 m", "1mm", "1hs", "1e308h"}) {
    INFO(bad);
    CHECK_FALSE(decimal_seconds(bad).has_value());
  }
}

TEST_CASE("Range: bounds are inclusive unless they say otherwise", "[base]") {
  const Range open{.min = 0, .max = 1, .above_min = true, .below_max = true};
  CHECK_FALSE(contains(open, 0));
  CHECK_FALSE(contains(open, 1));
  CHECK(contains(open, 0.5));
  CHECK(contains(Range{.min = 0, .max = 1}, 0));
  CHECK(contains(Range{.min = 0, .max = 1}, 1));
  CHECK_FALSE(contains(Range{.min = 0, .max = 1}, 1.5));
  CHECK(describe_numbers(open) == "a number above 0 and below 1");
  CHECK(describe_integers(Range{.min = 1, .max = 9e15}) == "an integer from 1 to 9000000000000000");
  CHECK(describe_integers(Range{.min = 1}) == "an integer of at least 1");
  CHECK(describe_numbers(Range{}) == "a number");
  CHECK(describe_seconds(Range{}) == "a time like 90s, 90m or 2h");
}

TEST_CASE("shortest_decimal: reads back as the same bits", "[base]") {
  CHECK(shortest_decimal(0.1) == "0.1");
  CHECK(shortest_decimal(1) == "1.0");
  CHECK(shortest_decimal(1e-8) == "1e-08");
  for (std::uint64_t i = 0, compared = 0; compared < 10000; ++i) {
    const std::uint64_t bits = mix64(0x9e3779b97f4a7c15ULL * (i + 1));
    double value;
    std::memcpy(&value, &bits, sizeof value);
    if (!(value - value == 0)) continue;  // infinite or not a number
    ++compared;
    const auto back = decimal_number(shortest_decimal(value));
    REQUIRE(back.has_value());
    std::uint64_t back_bits;
    std::memcpy(&back_bits, &*back, sizeof back_bits);
    REQUIRE(back_bits == bits);
  }
}

}  // namespace
}  // namespace sluice
