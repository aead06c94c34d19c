#include "src/cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstddef>
#include <optional>
#include <utility>

#include "sluice/base/decimal.h"
#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::cli {
namespace {

Error not_expected(std::string_view name, std::string_view expected, std::string_view text) {
  return Error(ExitCode::kUsage, "{}: expected {}, found {}", name, expected, quote(text));
}

void convert(std::string_view, std::string_view text, const Range&, std::string& value) {
  value = text;
}
void convert(std::string_view name, std::string_view text, const Range& range, Index& value) {
  value = parse_int(name, text, range);
}
void convert(std::string_view name, std::string_view text, const Range& range, double& value) {
  value = parse_double(name, text, range);
}
void convert(std::string_view name, std::string_view text, const Range& range, Seconds& value) {
  value = parse_seconds(name, text, range);
}
template <class T>
void convert(std::string_view name, std::string_view text, const Range& range,
             std::optional<T>& value) {
  convert(name, text, range, value.emplace());
}

std::string shown_default(const std::string& value) { return value; }
std::string shown_default(Index value) { return std::to_string(value); }
std::string shown_default(double value) { return fmt::format("{}", value); }
std::string shown_default(Seconds value) { return fmt::format("{}", value.value); }
template <class T>
std::string shown_default(const std::optional<T>&) {
  return "";
}

// read_arguments() puts '=' in front of every value: CLI11 takes an empty one for a missing one and
// one in brackets for a list.
std::string_view typed(const std::string& result) { return std::string_view(result).substr(1); }

CLI::Option* add(CLI::App& command, const std::string& names, const std::string& placeholder,
                 const std::string& help, CLI::callback_t take) {
  CLI::Option* option = command.add_option(names, std::move(take), help);
  return option->type_name(placeholder)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

CLI::callback_t collector(std::vector<std::string>& values) {
  return [&values](const CLI::results_t& results) {
    for (const std::string& result : results) values.emplace_back(typed(result));
    return true;
  };
}

constexpr int kMany = 1 << 28;

}  // namespace

template <class T>
void add_option(CLI::App& command, const std::string& names, T& value,
                const std::string& placeholder, const std::string& help, const Range& range) {
  const std::size_t begin = names.find("--");
  const std::string name = names.substr(begin, names.find(',', begin) - begin);
  const std::string first = shown_default(value);
  add(command, names, placeholder, help + (first.empty() ? "" : " (default " + first + ")"),
      [&value, name, range](const CLI::results_t& results) {
        convert(name, typed(results.at(0)), range, value);
        return true;
      })
      ->expected(1);
}

void add_positional(CLI::App& command, const std::string& placeholder,
                    std::optional<std::string>& value, const std::string& help, Presence presence) {
  add(command, placeholder, placeholder, help,
      [&value](const CLI::results_t& results) {
        value = std::string(typed(results.at(0)));
        return true;
      })
      ->expected(1)
      ->required(presence == Presence::kRequired);
}

void add_list(CLI::App& command, const std::string& names, std::vector<std::string>& values,
              const std::string& placeholder, const std::string& help) {
  add(command, names, placeholder, help, collector(values))->expected(1, kMany);
}

void add_positional_list(CLI::App& command, const std::string& placeholder,
                         std::vector<std::string>& values, const std::string& help,
                         Presence presence) {
  add(command, placeholder, placeholder, help, collector(values))
      ->expected(1, kMany)
      ->allow_extra_args()  // for a positional: more than one at all
      ->required(presence == Presence::kRequired);
}

void add_flag(CLI::App& command, const std::string& names, bool& value, const std::string& help) {
  command.add_flag_callback(
      names, [&value] { value = true; }, help);
}

Index parse_int(std::string_view name, std::string_view text, const Range& range) {
  const auto value = decimal_integer(text);
  if (value && contains(range, static_cast<double>(*value))) return *value;
  throw not_expected(name, describe_integers(range), text);
}

double parse_double(std::string_view name, std::string_view text, const Range& range) {
  const auto value = decimal_number(text);
  if (value && contains(range, *value)) return *value;
  throw not_expected(name, describe_numbers(range), text);
}

Seconds parse_seconds(std::string_view name, std::string_view text, const Range& range) {
  const auto value = decimal_seconds(text);
  if (value && contains(range, value->value)) return *value;
  throw not_expected(name, describe_seconds(range), text);
}

#define SLUICE_OPTION_OF(T)                                                                      \
  template void add_option(CLI::App&, const std::string&, T&, const std::string&,                \
                           const std::string&, const Range&);                                    \
  template void add_option(CLI::App&, const std::string&, std::optional<T>&, const std::string&, \
                           const std::string&, const Range&)
SLUICE_OPTION_OF(std::string);
SLUICE_OPTION_OF(Index);
SLUICE_OPTION_OF(double);
SLUICE_OPTION_OF(Seconds);
#undef SLUICE_OPTION_OF

}  // namespace sluice::cli
