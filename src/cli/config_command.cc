#include <fmt/format.h>

#include <memory>

#include "sluice/base/printable.h"
#include "sluice/config/config.h"
#include "sluice/config/schema.h"
#include "src/cli/commands.h"
#include "src/cli/config_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

ExitCode run_config_check(const ConfigArguments& arguments, Output& out) {
  check_config(effective_config(arguments));
  out.write(printable(*arguments.config) + ": ok\n");
  return ExitCode::kDone;
}

ExitCode run_config_dump(const ConfigArguments& arguments, Output& out) {
  out.write(to_json(effective_config(arguments)));
  return ExitCode::kDone;
}

ExitCode run_config_list(Output& out) {
  for (const config::Preset& preset : config::presets()) {
    out.write(fmt::format("{:<24}  {}\n", preset.name, preset_summary(preset)));
  }
  return ExitCode::kDone;
}

ExitCode run_config_schema(Output& out) {
  out.write(config::schema_json());
  return ExitCode::kDone;
}

}  // namespace

Action set_up_config_check(CLI::App& command) {
  auto arguments = std::make_shared<ConfigArguments>();
  add_config_arguments(command, *arguments, Presence::kRequired);
  return [arguments](Output& out) { return run_config_check(*arguments, out); };
}

Action set_up_config_dump(CLI::App& command) {
  auto arguments = std::make_shared<ConfigArguments>();
  add_config_arguments(command, *arguments, Presence::kOptional);
  return [arguments](Output& out) { return run_config_dump(*arguments, out); };
}

Action set_up_config_list(CLI::App&) { return run_config_list; }

Action set_up_config_schema(CLI::App&) { return run_config_schema; }

}  // namespace sluice::cli
