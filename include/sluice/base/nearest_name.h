#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

// "Did you mean": the valid name that a mistyped one probably stands for.
namespace sluice {

// The candidate fewest typing slips away (a letter added, missing, wrong or swapped with its
// neighbour; case, '-' and '_' do not count), or one that `name` begins; the first of equals.
// Nothing when none is near: at most a third of the letters may be slips, and one always may.
std::optional<std::string_view> nearest_name(std::string_view name,
                                             std::span<const std::string_view> candidates);

// The end of an error text: `; did you mean "NAME"?`, or nothing.
std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates);

// `a, b, c`, for "expected one of".
std::string comma_separated(std::span<const std::string_view> names);

}  // namespace sluice
