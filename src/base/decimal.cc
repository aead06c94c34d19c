#include "sluice/base/decimal.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstddef>

namespace sluice {
namespace {

template <class Number>
std::optional<Number> read_whole(std::string_view text) {
  // from_chars also knows "inf" and "nan", which start with a letter.
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  if (first >= text.size() || text.find_first_of("0123456789.", first) != first) return {};
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stop != end) return {};
  return value;
}

std::string bounds(const Range& range) {
  const bool from = std::isfinite(range.min), to = std::isfinite(range.max);
  if (from && to && !range.above_min && !range.below_max) {
    return fmt::format(" from {} to {}", range.min, range.max);
  }
  std::string text;
  if (from) text += fmt::format(" {} {}", range.above_min ? "above" : "of at least", range.min);
  if (from && to) text += " and";
  if (to) text += fmt::format(" {} {}", range.below_max ? "below" : "at most", range.max);
  return text;
}

}  // namespace

std::optional<Index> decimal_integer(std::string_view text) { return read_whole<Index>(text); }

std::optional<double> decimal_number(std::string_view text) {
  const auto value = read_whole<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<Seconds> decimal_seconds(std::string_view text) {
  double unit = 1;
  if (text.ends_with('m')) unit = 60;
  if (text.ends_with('h')) unit = 3600;
  if (unit != 1 || text.ends_with('s')) text.remove_suffix(1);
  const auto value = decimal_number(text);
  if (!value || !std::isfinite(*value * unit)) return {};
  return Seconds{*value * unit};
}

bool contains(const Range& range, double value) {
  return (range.above_min ? value > range.min : value >= range.min) &&
         (range.below_max ? value < range.max : value <= range.max);
}

std::string describe_integers(const Range& range) { return "an integer" + bounds(range); }
std::string describe_numbers(const Range& range) { return "a number" + bounds(range); }
std::string describe_seconds(const Range& range) {
  const std::string limits = bounds(range);
  return "a time like 90s, 90m or 2h" + (limits.empty() ? "" : limits + " seconds");
}

std::string shortest_decimal(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

}  // namespace sluice
