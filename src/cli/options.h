#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"

namespace CLI {
class App;
}

// The arguments of a command, declared with the functions below in its set-up, which bind each to a
// variable. CLI11 keeps the list and makes the assignments; what it would guess about (values that
// look like options, "--x=", lists, numbers) is settled here, strictly.
//
//   `--x VALUE` or `--x=VALUE`; `--x=` is the empty value; a value that starts like an option is
//   taken only in the second form; an option is given once unless it is a list; `--` ends options.
namespace sluice::cli {

// T: std::string, Index, double, Seconds, or std::optional of one of these. `names`: "--out" or
// "-n,--max-tokens", a long one always among them. `placeholder`: what the help calls the value.
// `range` bounds numbers. A T that is not optional keeps its value as the default, which the help
// shows.
template <class T>
void add_option(CLI::App& command, const std::string& names, T& value,
                const std::string& placeholder, const std::string& help, const Range& range = {});

// May be given many times, one value each.
void add_list(CLI::App& command, const std::string& names, std::vector<std::string>& values,
              const std::string& placeholder, const std::string& help);

void add_flag(CLI::App& command, const std::string& names, bool& value, const std::string& help);

enum class Presence { kOptional, kRequired };

void add_positional(CLI::App& command, const std::string& placeholder,
                    std::optional<std::string>& value, const std::string& help, Presence presence);

// All positionals that are left; declared last.
void add_positional_list(CLI::App& command, const std::string& placeholder,
                         std::vector<std::string>& values, const std::string& help,
                         Presence presence);

// Strict reading of one value; Error kUsage, `--top-k: expected an integer from 1 to 9, found "x"`.
Index parse_int(std::string_view name, std::string_view text, const Range& range);
double parse_double(std::string_view name, std::string_view text, const Range& range);
Seconds parse_seconds(std::string_view name, std::string_view text, const Range& range);

// Reads the arguments that follow the command's name into the bound variables; Error kUsage.
void read_arguments(CLI::App& command, const std::vector<std::string>& arguments);

// What `--help` prints for the command: at most 80 columns.
std::string command_help(const CLI::App& command, std::string_view summary,
                         std::string_view example);

}  // namespace sluice::cli
