#include "src/cli/config_arguments.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "src/cli/options.h"

namespace sluice::cli {
namespace {

constexpr const char* kDefaultPreset = "default";

config::Config without_name() {
  const auto& presets = config::presets();
  const bool exists = std::any_of(presets.begin(), presets.end(),
                                  [](const auto& preset) { return preset.name == kDefaultPreset; });
  return exists ? config::load_config(kDefaultPreset) : config::Config{};
}

}  // namespace

void add_config_arguments(CLI::App& command, ConfigArguments& arguments, Presence presence) {
  add_positional(command, "CONFIG", arguments.config,
                 "a preset (see \"sluice config list\") or a JSON file; a path holds '/' or ends "
                 "in .json",
                 presence);
  add_list(command, "--set", arguments.settings, "KEY=JSON",
           "change one key, e.g. model.blocks.0.repeat=4; a bare word is a string");
}

config::Config effective_config(const ConfigArguments& arguments) {
  config::Config config =
      arguments.config ? config::load_config(*arguments.config) : without_name();
  apply_settings(arguments, config);
  return config;
}

void apply_settings(const ConfigArguments& arguments, config::Config& config) {
  std::set<std::string_view> keys;
  for (const std::string& setting : arguments.settings) {
    const std::string_view key = std::string_view(setting).substr(0, setting.find('='));
    if (!keys.insert(key).second) {
      throw Error(ExitCode::kUsage, "--set: {}: set twice (expected once)", quote(key));
    }
    config::set_config_key(config, setting);
  }
}

}  // namespace sluice::cli
