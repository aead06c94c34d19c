#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstddef>
#include <sstream>

#include "src/cli/options.h"

namespace sluice::cli {
namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kTextColumn = 26;

// `head`, then `text` from kTextColumn on, broken between words.
std::string entry(const std::string& head, const std::string& text) {
  std::string result, line = "  " + head;
  if (line.size() + 2 > kTextColumn) {
    result += line + "\n";
    line.clear();
  }
  line.resize(kTextColumn, ' ');
  std::istringstream words(text);
  bool at_start = true;
  for (std::string word; words >> word; at_start = false) {
    if (!at_start && line.size() + 1 + word.size() > kColumns) {
      result += line + "\n";
      line.assign(kTextColumn, ' ');
      at_start = true;
    }
    line += (at_start ? "" : " ") + word;
  }
  return result + line + "\n";
}

std::string option_head(const CLI::Option& option) {
  std::string head;
  for (const std::string& name : option.get_snames()) head += "-" + name + ", ";
  for (const std::string& name : option.get_lnames()) head += "--" + name + ", ";
  head.resize(head.size() - 2);
  if (option.get_items_expected_max() > 0) head += " " + option.get_type_name();
  if (option.get_items_expected_max() > 1) head += " (repeatable)";
  return head;
}

}  // namespace

std::string command_help(const CLI::App& command, std::string_view summary,
                         std::string_view example) {
  std::string usage = command.get_name(), positionals, options;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) {
      options += entry(option_head(*option), option->get_description());
      continue;
    }
    const std::string name = option->get_type_name();
    const std::string many = option->get_items_expected_max() > 1 ? "..." : "";
    usage += option->get_required() ? " " + name + many : " [" + name + "]" + many;
    positionals += entry(name, option->get_description());
  }
  options += entry("-h, --help", "print this text");
  return fmt::format("{}: {}\n\nUsage: {} [options]\n\n{}{}Options:\n{}\nExample:\n  {}\n",
                     command.get_name(), summary, usage, positionals,
                     positionals.empty() ? "" : "\n", options, example);
}

}  // namespace sluice::cli
