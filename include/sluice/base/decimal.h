#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"

// Numbers as people write them, read strictly (the whole text or nothing: no sign '+', no space, no
// hexadecimal, no "inf"), and the words for which numbers are allowed.
namespace sluice {

// Nothing when the text is not a number of that kind or does not fit the type.
std::optional<Index> decimal_integer(std::string_view text);
std::optional<double> decimal_number(std::string_view text);
// "90s", "90m", "1.5h", or a number of seconds.
std::optional<Seconds> decimal_seconds(std::string_view text);

bool contains(const Range& range, double value);

// "an integer from 1 to 1024", "a number above 0 and below 1", "a time above 0 seconds".
std::string describe_integers(const Range& range);
std::string describe_numbers(const Range& range);
std::string describe_seconds(const Range& range);

// The shortest text that reads back as the same double and looks like one: "0.1", "1.0", "1e-08".
std::string shortest_decimal(double value);

}  // namespace sluice
