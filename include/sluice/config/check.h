#pragma once

namespace sluice::config {

struct Config;

// Cross-field rules, e.g. that one limit is set; Error kUsage naming the keys.
void check_config(const Config& config);

}  // namespace sluice::config
