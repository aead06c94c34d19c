#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/fields.h"
#include "sluice/base/nearest_name.h"
#include "sluice/base/printable.h"

// Options that take one of the names that a config key takes.
namespace sluice::cli {

template <class Enum>
std::vector<std::string_view> names_of() {
  std::vector<std::string_view> names;
  for (const auto& [value, name] : enum_names<Enum>) names.push_back(name);
  return names;
}

// "unigram|bpe|char", for the help.
template <class Enum>
std::string enum_choices() {
  std::string choices;
  for (const std::string_view name : names_of<Enum>()) {
    choices += (choices.empty() ? "" : "|") + std::string(name);
  }
  return choices;
}

// Error kUsage: `--type: expected one of byte, char, found "chars"; did you mean "char"?`
template <class Enum>
Enum parse_enum(std::string_view option, std::string_view text) {
  for (const auto& [value, name] : enum_names<Enum>) {
    if (name == text) return value;
  }
  const auto names = names_of<Enum>();
  throw Error(ExitCode::kUsage, "{}: expected one of {}, found {}{}", option,
              comma_separated(names), quote(text), did_you_mean(text, names));
}

}  // namespace sluice::cli
