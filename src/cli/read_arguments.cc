#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <set>

#include "sluice/base/error.h"
#include "sluice/base/nearest_name.h"
#include "sluice/base/printable.h"
#include "src/cli/options.h"

namespace sluice::cli {
namespace {

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }
bool is_list(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

// "-", "-5" and "-.5" are values.
bool looks_like_option(std::string_view text) {
  return text.starts_with("--") ||
         (text.size() > 1 && text[0] == '-' && std::isalpha(static_cast<unsigned char>(text[1])));
}

// Spells out what the user typed in the one form that CLI11 cannot misread: `--name==VALUE` and
// `--flag`, then `=VALUE` for each positional.
class Rewriter {
 public:
  Rewriter(const CLI::App& command, const std::vector<std::string>& arguments)
      : command_(command), arguments_(arguments) {}

  std::vector<std::string> rewrite() {
    while (next_ < arguments_.size()) {
      const std::string& argument = arguments_[next_++];
      if (argument == "--") {
        positionals_.insert(positionals_.end(), arguments_.begin() + position(), arguments_.end());
        break;
      }
      if (argument.starts_with("--")) {
        read_long(argument);
      } else if (argument.size() > 1 && argument[0] == '-') {
        read_short(argument);
      } else {
        positionals_.push_back(argument);
      }
    }
    for (const std::string& value : positionals_) rewritten_.push_back("=" + value);
    return std::move(rewritten_);
  }

 private:
  std::ptrdiff_t position() const { return static_cast<std::ptrdiff_t>(next_); }

  void read_long(const std::string& argument) {
    const std::size_t equals = std::min(argument.find('='), argument.size());
    const std::string name = argument.substr(0, equals);
    const CLI::Option& option = find(name);
    const bool has_value = equals < argument.size();
    if (has_value && !takes_value(option)) {
      throw Error(ExitCode::kUsage, "{}: takes no value (expected nothing, found {})", name,
                  quote(argument.substr(equals + 1)));
    }
    if (!takes_value(option)) return emit(name, option);
    emit(name, option, has_value ? argument.substr(equals + 1) : next_value(name));
  }

  // `-q`, `-n 5`, `-n5`, `-qv`.
  void read_short(const std::string& argument) {
    for (std::size_t i = 1; i < argument.size(); ++i) {
      const std::string name{'-', argument[i]};
      const CLI::Option& option = find(name, argument);
      if (takes_value(option)) {
        return emit(name, option,
                    i + 1 < argument.size() ? argument.substr(i + 1) : next_value(name));
      }
      emit(name, option);
    }
  }

  const CLI::Option& find(const std::string& name) const { return find(name, name); }
  const CLI::Option& find(const std::string& name, const std::string& argument) const {
    if (const CLI::Option* option = command_.get_option_no_throw(name)) return *option;
    std::vector<std::string> all;
    for (const CLI::Option* option : command_.get_options()) {
      for (const std::string& known : option->get_lnames()) all.push_back("--" + known);
    }
    const std::vector<std::string_view> names(all.begin(), all.end());
    const std::string hint = did_you_mean(argument, names);
    throw Error(ExitCode::kUsage, "unknown option {} of {}{}", quote(argument), command_.get_name(),
                hint.empty() ? fmt::format("; see \"{} --help\"", command_.get_name()) : hint);
  }

  std::string next_value(const std::string& name) {
    if (next_ == arguments_.size()) {
      throw Error(ExitCode::kUsage, "{}: expected a value, found the end of the command line",
                  name);
    }
    const std::string& value = arguments_[next_];
    if (looks_like_option(value)) {
      throw Error(ExitCode::kUsage,
                  "{0}: expected a value, found the option {1}; a value that starts with '-' is "
                  "written {0}={2}",
                  name, quote(value), printable(value.substr(0, 80)));
    }
    ++next_;
    return value;
  }

  void emit(const std::string& name, const CLI::Option& option) {
    if (!seen_.insert(&option).second && !is_list(option)) {
      throw Error(ExitCode::kUsage, "{}: given twice (expected once)", name);
    }
    rewritten_.push_back("--" + option.get_lnames().at(0));
  }
  void emit(const std::string& name, const CLI::Option& option, const std::string& value) {
    emit(name, option);
    rewritten_.back() += "==" + value;
  }

  const CLI::App& command_;
  const std::vector<std::string>& arguments_;
  std::size_t next_ = 0;
  std::vector<std::string> rewritten_, positionals_;
  std::set<const CLI::Option*> seen_;
};

}  // namespace

void read_arguments(CLI::App& command, const std::vector<std::string>& arguments) {
  command.allow_extras();
  std::vector<std::string> rewritten = Rewriter(command, arguments).rewrite();
  std::reverse(rewritten.begin(), rewritten.end());  // CLI11 takes them from the back
  try {
    command.parse(rewritten);
  } catch (const CLI::RequiredError& error) {
    throw Error(ExitCode::kUsage, "{}: {}; see \"{} --help\"", command.get_name(), error.what(),
                command.get_name());
  } catch (const CLI::Error& error) {
    throw Error(ExitCode::kUsage, "{}: {}", command.get_name(), error.what());
  }
  const std::vector<std::string> left = command.remaining();
  if (!left.empty()) {
    throw Error(ExitCode::kUsage, "{}: too many arguments (expected no more, found {})",
                command.get_name(), quote(left[0].substr(1)));
  }
}

}  // namespace sluice::cli
