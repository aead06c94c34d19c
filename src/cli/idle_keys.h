#pragma once

#include "sluice/config/config.h"

namespace sluice::cli {

// Warns of keys that this run has no use for and that do not have their default: somebody set them
// and waits for an effect.
void warn_of_idle_keys(const config::Config& config);

}  // namespace sluice::cli
