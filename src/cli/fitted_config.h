#pragma once

#include <functional>

#include "sluice/config/config.h"
#include "src/cli/config_arguments.h"

// What commands do that are given text and no CONFIG.
namespace sluice::cli {

// A config for the text that `apply` names, and for this machine, told in the log. `apply` lays the
// command's own options over a config; what it or a `--set` sets stands. Without text, the preset.
// Errors as effective_config(), `apply` and text::survey().
config::Config config_for_text(const ConfigArguments& arguments,
                               const std::function<void(config::Config&)>& apply);

}  // namespace sluice::cli
