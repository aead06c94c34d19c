#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "sluice/base/nearest_name.h"
#include "sluice/base/printable.h"
#include "sluice/kernels/instruction_set.h"
#include "src/cli/commands.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

using Arguments = std::vector<std::string>;

bool is_help(std::string_view argument) { return argument == "--help" || argument == "-h"; }

std::string_view first_word(std::string_view name) { return name.substr(0, name.find(' ')); }
std::string_view second_word(std::string_view name) {
  return name.substr(std::min(name.find(' ') + 1, name.size()));
}
bool is_two_words(std::string_view name) { return name.find(' ') != std::string_view::npos; }

std::string environment() {
  std::vector<std::string_view> sets;
  for (const auto set : kernels::supported_instruction_sets()) {
    sets.push_back(kernels::name_of(set));
  }
  return fmt::format(
      "Environment:\n"
      "  SLUICE_ISA        instruction set to compute with; here one of\n"
      "                    {} (default {})\n\n",
      comma_separated(sets), sets.front());
}

// The help of everything, or of the commands that share a first word.
std::string overview(std::string_view group) {
  std::string list;
  std::string_view example = group.empty() ? "sluice config list" : "";
  for (const Command& command : commands()) {
    if (group.empty() || first_word(command.name) == group) {
      if (example.empty()) example = command.example;
      list += fmt::format("  {:<18}{}\n", command.name, command.summary);
    }
  }
  const std::string head =
      group.empty() ? "sluice " SLUICE_VERSION
                      ": trains, evaluates and runs gated convolutional language models\n"
                    : fmt::format("sluice {}\n", group);
  return fmt::format(
      "{}\nUsage: sluice {} [arguments]\n\nCommands:\n{}\n"
      "\"sluice COMMAND --help\" explains a command; \"sluice --version\" the version.\n\n"
      "{}Example:\n  {}\n",
      head, group.empty() ? "COMMAND" : fmt::format("{} COMMAND", group), list,
      group.empty() ? environment() : "", example);
}

// What may stand at one place of the command's name.
std::vector<std::string_view> words_after(std::string_view group) {
  std::vector<std::string_view> words;
  for (const Command& command : commands()) {
    const std::string_view word =
        group.empty() ? first_word(command.name) : second_word(command.name);
    const bool belongs =
        group.empty() || (is_two_words(command.name) && first_word(command.name) == group);
    if (belongs && std::find(words.begin(), words.end(), word) == words.end()) {
      words.push_back(word);
    }
  }
  return words;
}

Error no_command(std::string_view group) {
  return Error(ExitCode::kUsage, "{}no command (expected one of {}); see \"sluice --help\"",
               group.empty() ? "" : fmt::format("{}: ", group),
               comma_separated(words_after(group)));
}

Error unknown_command(std::string_view group, std::string_view found) {
  const auto words = words_after(group);
  const std::string where = group.empty() ? "" : fmt::format("{}: ", group);
  const std::string hint = did_you_mean(found, words);
  return Error(ExitCode::kUsage, "{}unknown command (expected one of {}, found {}){}", where,
               comma_separated(words), quote(found),
               hint.empty() ? "; see \"sluice --help\"" : hint);
}

ExitCode run(const Command& command, const Arguments& arguments, Output& out) {
  CLI::App app("", fmt::format("sluice {}", command.name));
  app.set_help_flag();  // ours, below
  const Action action = command.set_up(app);
  const auto end_of_options = std::find(arguments.begin(), arguments.end(), "--");
  if (std::any_of(arguments.begin(), end_of_options, is_help)) {
    out.write(command_help(app, command.summary, command.example));
    return ExitCode::kDone;
  }
  read_arguments(app, arguments);
  return action(out);
}

}  // namespace

ExitCode run_command_line(const Arguments& arguments, Output& out) {
  if (arguments.empty()) throw no_command("");
  const std::string& word = arguments[0];
  if (is_help(word) || word == "--version") {
    if (arguments.size() > 1) {
      throw Error(ExitCode::kUsage, "{}: stands alone (expected nothing, found {})", word,
                  quote(arguments[1]));
    }
    out.write(is_help(word) ? overview("") : "sluice " SLUICE_VERSION "\n");
    return ExitCode::kDone;
  }
  const bool has_second = arguments.size() > 1;
  const std::string second = has_second ? arguments[1] : "";
  for (const Command& command : commands()) {
    if (command.name == word) return run(command, {arguments.begin() + 1, arguments.end()}, out);
    if (command.name == word + " " + second) {
      return run(command, {arguments.begin() + 2, arguments.end()}, out);
    }
  }
  if (word.empty() || words_after(word).empty()) throw unknown_command("", word);
  if (!has_second) throw no_command(word);
  if (!is_help(second)) throw unknown_command(word, second);
  out.write(overview(word));
  return ExitCode::kDone;
}

}  // namespace sluice::cli
