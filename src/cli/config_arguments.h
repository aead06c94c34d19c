#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sluice/config/config.h"
#include "src/cli/options.h"

namespace sluice::cli {

// The arguments by which a command is given a config: `[CONFIG] [--set KEY=JSON]...`.
struct ConfigArguments {
  std::optional<std::string> config;
  std::vector<std::string> settings;
};

void add_config_arguments(CLI::App& command, ConfigArguments& arguments, Presence presence);

// The named config, or the preset `default` (without one: every key's default), with the settings
// applied in their order. Error kUsage, also for a key that is set twice. Not yet checked by
// check_config(): the command may have more to add.
config::Config effective_config(const ConfigArguments& arguments);
void apply_settings(const ConfigArguments& arguments, config::Config& config);

}  // namespace sluice::cli
