#include <fmt/format.h>

#include <memory>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/config/verify.h"
#include "sluice/train/progress.h"
#include "src/cli/commands.h"
#include "src/cli/logging.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

struct VerifyArguments {
  std::vector<std::string> sources;
  Verbosity verbosity;
};

// What is wrong with the first bad file, and with how many others.
struct Findings {
  std::string report;
  std::optional<Error> first_error;
  std::size_t good = 0, bad = 0;

  void add(const std::string& path, const config::VerifiedFile& file) {
    std::string_view kind = config::describe(file.kind);
    kind.remove_prefix(kind.find(' ') + 1);  // its article
    if (file.kind == config::FileKind::kConfig) kind = "config";
    report += fmt::format("ok {} {} ({})\n", kind, printable(path), file.bytes);
    ++good;
  }
  void add(const Error& error) {
    if (!first_error) first_error = error;
    ++bad;
  }
};

ExitCode run_verify(const VerifyArguments& arguments, Output& out) {
  Output::check_open();
  train::ProgressBar bar(wants_bar(arguments.verbosity));
  start_logging(arguments.verbosity, bar);
  std::vector<std::string> files;
  for (const std::string& source : arguments.sources) {
    for (std::string& file : config::files_to_verify(source)) files.push_back(std::move(file));
  }
  Findings found;
  for (std::size_t i = 0; i < files.size(); ++i) {
    bar.show(static_cast<double>(i) / static_cast<double>(files.size()), printable(files[i]));
    try {
      found.add(files[i], config::verify_file(files[i]));
    } catch (const Error& error) {
      found.add(error);
    }
  }
  bar.clear();
  if (found.bad > 1) {
    throw Error(found.first_error->code(), "{}; {} of {} files are bad, {} are good",
                found.first_error->what(), found.bad, files.size(), found.good);
  }
  if (found.bad == 1) throw *found.first_error;
  out.write(found.report);
  return ExitCode::kDone;
}

}  // namespace

Action set_up_verify(CLI::App& command) {
  auto arguments = std::make_shared<VerifyArguments>();
  add_verbosity(command, arguments->verbosity);
  add_positional_list(command, "FILE", arguments->sources,
                      "models, checkpoints, token files, tokenizers, configs; a run directory: "
                      "its config and all its models",
                      Presence::kRequired);
  return [arguments](Output& out) { return run_verify(*arguments, out); };
}

}  // namespace sluice::cli
