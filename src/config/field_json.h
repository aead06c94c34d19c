#pragma once

#include <string>
#include <string_view>

#include "sluice/config/config.h"
#include "src/config/json_value.h"

// Between Config and JSON trees, both ways driven by the structs' own field lists (base/fields.h).
namespace sluice::config {

// Sets the fields that the tree names and leaves the others; Error kUsage as parse_config says.
void read_config(const JsonValue& tree, const std::string& source, Config& config);

// Every field, in the order of the lists.
JsonValue config_tree(const Config& config);

// `unknown key (expected one of ..., found "KEY"); did you mean "NAME"?`
std::string unknown_key(std::string_view key, const std::vector<std::string>& valid);

}  // namespace sluice::config
