#pragma once

#include <array>
#include <limits>
#include <string_view>
#include <utility>

// How a config struct lists its fields, once, so that reading, writing, --set, schema and help are
// all derived from the one list:
//
//   struct ClipConfig {
//     double norm = 0.1;
//     template <class Self, class Visitor>
//     static void fields(Self& self, Visitor&& visit) {
//       visit("norm", self.norm, Range{.min = 0}, "largest global L2 norm of the gradient; 0:
//       off");
//     }
//   };
//
// Self is the struct or its const form. Field types: bool, Index, double, std::string, an enum with
// enum_names(), Seconds, std::optional of those (null in JSON), std::vector of strings, numbers or
// structs, and structs with fields of their own. Non-goals: maps, unions, versions.
namespace sluice {

// Bounds of a number, inclusive unless said otherwise. Ignored for other types.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;  // min itself is not allowed
  bool below_max = false;  // max itself is not allowed
};

// A length of time; "90s", "90m", "2h" or a number of seconds in JSON.
struct Seconds {
  double value = 0;
  bool operator==(const Seconds&) const = default;
};

// Specialise for an enum: the names its values have in JSON.
//   template <> constexpr auto enum_names<Gate> = std::array{std::pair{Gate::kGlu, "glu"sv}, ...};
template <class Enum>
constexpr auto enum_names = nullptr;

template <class Enum>
constexpr std::string_view name_of(Enum value) {
  for (const auto& [listed, name] : enum_names<Enum>) {
    if (listed == value) return name;
  }
  return "";
}

}  // namespace sluice
