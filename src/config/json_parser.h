#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "src/config/json_value.h"

namespace sluice::config {

// Where a text comes from, for its error messages.
struct JsonOrigin {
  std::string source;   // file, preset or option
  std::string path;     // key path of the text's top level; empty: the whole config
  bool is_file = true;  // lines are named and comments allowed
};

constexpr std::size_t kMaxJsonBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxJsonDepth = 32;

// Reads one JSON value. Error kUsage, with line and key path, on anything that is not JSON, nested
// deeper or longer than the limits above, starts with a byte order mark or repeats a key.
JsonValue parse_json(std::string_view text, const JsonOrigin& origin);

}  // namespace sluice::config
