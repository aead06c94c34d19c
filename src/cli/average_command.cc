#include <filesystem>
#include <memory>

#include "sluice/config/average.h"
#include "src/cli/commands.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

struct AverageArguments {
  std::vector<std::string> files;
  std::optional<std::string> out;
  bool overwrite = false;
};

ExitCode run_average(const AverageArguments& arguments, Output& out) {
  Output::check_open();
  if (!arguments.out || arguments.out->empty()) {
    throw Error(ExitCode::kUsage, "--out: expected the file of the new model, found {}",
                arguments.out ? "\"\"" : "none");
  }
  const std::string& path = *arguments.out;
  std::error_code error;
  if (!arguments.overwrite && std::filesystem::exists(path, error)) {
    throw Error(ExitCode::kExists, "{}: exists; --overwrite replaces it", path);
  }
  config::average_models(config::files_to_average(arguments.files), path);
  out.write(path + "\n");
  return ExitCode::kDone;
}

}  // namespace

Action set_up_average(CLI::App& command) {
  auto arguments = std::make_shared<AverageArguments>();
  add_option(command, "--out", arguments->out, "MODEL", "the file to write");
  add_flag(command, "--overwrite", arguments->overwrite, "replace a file that is there");
  add_positional_list(command, "FILE", arguments->files,
                      "models and checkpoints; a run directory: all its checkpoints",
                      Presence::kRequired);
  return [arguments](Output& out) { return run_average(*arguments, out); };
}

}  // namespace sluice::cli
