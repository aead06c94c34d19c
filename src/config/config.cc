#include "sluice/config/config.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/decimal.h"
#include "sluice/base/file.h"
#include "sluice/base/nearest_name.h"
#include "sluice/base/printable.h"
#include "src/config/field_json.h"
#include "src/config/json_parser.h"
#include "src/config/json_value.h"

namespace sluice::config {
namespace {

constexpr const char* kSetOption = "--set";

// The JSON of a `--set`; what is not JSON and does not start like it is a bare word.
JsonValue read_assigned(std::string_view text, const std::string& path) {
  const JsonOrigin origin{.source = kSetOption, .path = path, .is_file = false};
  try {
    return parse_json(text, origin);
  } catch (const Error&) {
    const bool meant_as_json = text.find_first_of("{[\"") == 0;
    if (meant_as_json || text.size() > kMaxJsonBytes) throw;
    return {.kind = JsonValue::Kind::kString, .text = std::string(text)};
  }
}

// An object replaces only the keys that it names, as a config file does with the defaults.
void merge(JsonValue value, JsonValue& target) {
  if (value.kind != JsonValue::Kind::kObject || target.kind != JsonValue::Kind::kObject) {
    target = std::move(value);
    return;
  }
  for (std::size_t i = 0; i < value.keys.size(); ++i) {
    if (JsonValue* known = target.find(value.keys[i])) {
      merge(std::move(value.elements[i]), *known);
    } else {  // refused, with its path, when the tree is read
      target.keys.push_back(std::move(value.keys[i]));
      target.elements.push_back(std::move(value.elements[i]));
    }
  }
}

// The child of `node` that one part of a key path names.
JsonValue& child(JsonValue& node, std::string_view part, const std::string& path) {
  const std::string full = join_path(path, part);
  if (node.kind == JsonValue::Kind::kObject) {
    if (JsonValue* found = node.find(part)) return *found;
    throw config_error(kSetOption, 0, full, unknown_key(part, node.keys));
  }
  if (node.kind != JsonValue::Kind::kArray) {
    throw config_error(kSetOption, 0, full,
                       fmt::format("unknown key ({} has no keys of its own)", path));
  }
  const std::size_t size = node.elements.size();
  const auto index = decimal_integer(part);
  if (!index || *index < 0 || static_cast<std::size_t>(*index) >= size) {
    const std::string expected =
        size == 0 ? "none, the list is empty" : fmt::format("an integer from 0 to {}", size - 1);
    throw config_error(
        kSetOption, 0, full,
        fmt::format("index out of range (expected {}, found {})", expected, quote(part)));
  }
  return node.elements[static_cast<std::size_t>(*index)];
}

// The node that a key path names, and the path as far as it was understood.
JsonValue& descend(JsonValue& tree, std::string_view keys, std::string& path) {
  JsonValue* node = &tree;
  for (std::string_view rest = keys; !rest.empty() || path.empty();) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    node = &child(*node, rest.substr(0, dot), path);
    path = join_path(path, rest.substr(0, dot));
    if (dot + 1 == rest.size()) child(*node, "", path);  // "a.b." names nothing: refuse it
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  return *node;
}

void compare(const JsonValue& a, const JsonValue& b, const std::string& path,
             std::vector<std::string>& differing) {
  const bool objects = a.kind == JsonValue::Kind::kObject;
  const bool both_lists = a.kind == JsonValue::Kind::kArray && b.kind == a.kind;
  const auto holds_objects = [](const JsonValue& list) {
    return !list.elements.empty() && list.elements[0].kind == JsonValue::Kind::kObject;
  };
  if (objects || (both_lists && holds_objects(a) && a.elements.size() == b.elements.size())) {
    for (std::size_t i = 0; i < a.elements.size(); ++i) {
      compare(a.elements[i], b.elements[i],
              objects ? join_path(path, a.keys[i]) : join_path(path, i), differing);
    }
  } else if (print_json(a) != print_json(b)) {
    differing.push_back(path);
  }
}

Config load_file(const std::string& path) {
  std::string text;
  try {
    text = read_whole_file(path, kMaxJsonBytes);
  } catch (const Error& error) {
    // To the file layer a file that is too large is bad data; a config is a matter of usage.
    if (error.code() != ExitCode::kBadData) throw;
    throw Error(ExitCode::kUsage, error.what());
  }
  return parse_config(text, path);
}

// did_you_mean(), where a folder may be left out: "small" stands for "bench/small".
std::string did_you_mean_preset(std::string_view typed, std::span<const std::string_view> names) {
  const auto last_part = [](std::string_view name) { return name.substr(name.rfind('/') + 1); };
  std::vector<std::string_view> spellings(names.begin(), names.end());
  std::transform(names.begin(), names.end(), std::back_inserter(spellings), last_part);
  const auto nearest = nearest_name(typed, spellings);
  if (!nearest) return "";
  const auto meant = std::find_if(names.begin(), names.end(), [&](std::string_view name) {
    return name == *nearest || last_part(name) == *nearest;
  });
  return "; did you mean \"" + std::string(*meant) + "\"?";
}

}  // namespace

Config parse_config(std::string_view json, const std::string& source) {
  Config config;
  read_config(parse_json(json, {.source = source, .path = "", .is_file = true}), source, config);
  return config;
}

Config load_config(const std::string& preset_or_path) {
  std::vector<std::string_view> names;
  for (const Preset& preset : presets()) {
    if (preset.name == preset_or_path) return parse_config(preset.text, "preset " + preset_or_path);
    names.push_back(preset.name);
  }
  if (preset_or_path.find('/') != std::string::npos || preset_or_path.ends_with(".json")) {
    try {
      return load_file(preset_or_path);
    } catch (const Error& error) {
      // "bench/smal" is more likely a preset than a file.
      if (error.code() != ExitCode::kNoInput || preset_or_path.ends_with(".json")) throw;
      throw Error(error.code(), "{}{}", error.what(), did_you_mean_preset(preset_or_path, names));
    }
  }
  throw Error(ExitCode::kUsage,
              "unknown preset (expected one of {}, or a path with '/' or '.json', found {}){}",
              comma_separated(names), quote(preset_or_path),
              did_you_mean_preset(preset_or_path, names));
}

void set_config_key(Config& config, std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw Error(ExitCode::kUsage, "{}: not an assignment (expected KEY=VALUE, found {})",
                kSetOption, quote(assignment));
  }
  JsonValue tree = config_tree(config);
  std::string path;
  JsonValue& node = descend(tree, assignment.substr(0, equals), path);
  merge(read_assigned(assignment.substr(equals + 1), path), node);
  Config changed;
  read_config(tree, kSetOption, changed);
  config = std::move(changed);
}

std::string to_json(const Config& config) { return print_json(config_tree(config)); }

std::vector<std::string> differing_keys(const Config& a, const Config& b) {
  std::vector<std::string> differing;
  compare(config_tree(a), config_tree(b), "", differing);
  return differing;
}

std::string value_of_key(const Config& config, std::string_view path) {
  constexpr std::size_t kLongest = 80;
  JsonValue tree = config_tree(config);
  std::string known;
  std::string line;
  for (const char character : print_json(descend(tree, path, known))) {
    const bool space = character == ' ' || character == '\n';
    if (!space || (!line.empty() && line.back() != ' ')) line += space ? ' ' : character;
  }
  if (line.ends_with(' ')) line.pop_back();
  return line.size() <= kLongest ? line : line.substr(0, kLongest) + "...";
}

std::optional<Difference> network_difference(const Config& expected, const Config& found) {
  Config other = found;
  other.model = expected.model;
  other.model.dropout = found.model.dropout;
  const std::vector<std::string> keys = differing_keys(other, found);
  if (keys.empty()) return std::nullopt;
  return Difference{keys[0], value_of_key(other, keys[0]), value_of_key(found, keys[0])};
}

std::string preset_summary(const Preset& preset) {
  std::string_view line = preset.text.substr(0, preset.text.find('\n'));
  if (!line.starts_with("//")) return "";
  line.remove_prefix(std::min(line.find_first_not_of("/ "), line.size()));
  return std::string(line);
}

}  // namespace sluice::config
