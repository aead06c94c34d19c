#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/error.h"

namespace CLI {
class App;
}

namespace sluice::cli {

class Output;

// What a command does once its arguments are read: kDone, or kStopped for a run that can be
// resumed; everything that goes wrong is thrown. The product goes to `out`, logs to stderr.
using Action = std::function<ExitCode(Output& out)>;

// A command is one row of the table in commands.cc and one file, x_command.cc, that reads:
//
//   struct TrainArguments { std::optional<std::string> out; bool resume = false; ... };
//   ExitCode run_train(const TrainArguments& arguments, Output& out) { ... }
//   Action set_up_train(CLI::App& command) {
//     auto arguments = std::make_shared<TrainArguments>();
//     add_option(command, "--out", arguments->out, "DIR", "where the run is kept");
//     add_flag(command, "--resume", arguments->resume, "go on with the run in DIR");
//     return [arguments](Output& out) { return run_train(*arguments, out); };
//   }
struct Command {
  std::string_view name;     // one or two words: "train", "config check"
  std::string_view summary;  // one line, without a full stop
  std::string_view example;  // a command line that works
  Action (*set_up)(CLI::App& command);
};

std::span<const Command> commands();

Action set_up_train(CLI::App& command);
Action set_up_eval(CLI::App& command);
Action set_up_generate(CLI::App& command);
Action set_up_average(CLI::App& command);
Action set_up_info(CLI::App& command);
Action set_up_data_build(CLI::App& command);
Action set_up_data_info(CLI::App& command);
Action set_up_bench(CLI::App& command);
Action set_up_config_check(CLI::App& command);
Action set_up_config_dump(CLI::App& command);
Action set_up_config_list(CLI::App& command);
Action set_up_config_schema(CLI::App& command);
Action set_up_tokenizer_train(CLI::App& command);
Action set_up_tokenizer_encode(CLI::App& command);
Action set_up_tokenizer_decode(CLI::App& command);
Action set_up_tokenizer_info(CLI::App& command);
Action set_up_verify(CLI::App& command);

// Everything between main() and a command: finds the command, reads its arguments, runs it.
// Handles --help and --version. Error kUsage for what cannot be understood.
ExitCode run_command_line(const std::vector<std::string>& arguments, Output& out);

}  // namespace sluice::cli
