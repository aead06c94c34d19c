#include "src/config/json_value.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sluice/base/decimal.h"
#include "sluice/base/printable.h"

namespace sluice::config {

const JsonValue* JsonValue::find(std::string_view key) const {
  const auto found = std::find(keys.begin(), keys.end(), key);
  return found == keys.end() ? nullptr : &elements[static_cast<std::size_t>(found - keys.begin())];
}

JsonValue* JsonValue::find(std::string_view key) {
  return const_cast<JsonValue*>(static_cast<const JsonValue&>(*this).find(key));
}

Error config_error(std::string_view source, int line, std::string_view path,
                   std::string_view what) {
  std::string text = printable(source);
  if (line > 0) text += fmt::format(": line {}", line);
  if (!path.empty()) text += ": " + printable(path);
  return Error(ExitCode::kUsage, "{}: {}", text, what);
}

std::string join_path(std::string_view path, std::string_view key) {
  const std::string_view start = key.substr(0, 80);
  return path.empty() ? std::string(start) : fmt::format("{}.{}", path, start);
}

std::string join_path(std::string_view path, std::size_t index) {
  return join_path(path, std::to_string(index));
}

std::string describe_found(const JsonValue& value) {
  switch (value.kind) {
    case JsonValue::Kind::kNull:
      return "null";
    case JsonValue::Kind::kBool:
      return value.boolean ? "true" : "false";
    case JsonValue::Kind::kInteger:
      return std::to_string(value.integer);
    case JsonValue::Kind::kReal:
      return value.text.size() <= 40 ? value.text : value.text.substr(0, 40) + "...";
    case JsonValue::Kind::kString:
      return quote(value.text);
    case JsonValue::Kind::kArray:
      return value.elements.empty() ? "an empty array" : "an array";
    case JsonValue::Kind::kObject:
      break;
  }
  return "an object";
}

namespace {

// Arrays of scalars are short in practice: betas, file lists.
bool fits_one_line(const JsonValue& value, bool inside_array) {
  return (value.kind == JsonValue::Kind::kArray || inside_array) &&
         std::none_of(value.elements.begin(), value.elements.end(),
                      [](const JsonValue& element) { return element.is_container(); });
}

std::string quote_json(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ExitCode::kUsage, "{}: not UTF-8, so it cannot be kept in a config", quote(text));
  }
}

void print(const JsonValue& value, std::size_t depth, bool inside_array, std::string& out) {
  if (!value.is_container()) {
    if (value.kind == JsonValue::Kind::kReal && !std::isfinite(value.real)) {
      throw Error(ExitCode::kInternal, "config: {} cannot be written as JSON", value.real);
    }
    out += value.kind == JsonValue::Kind::kString ? quote_json(value.text)
           : value.kind == JsonValue::Kind::kReal ? shortest_decimal(value.real)
                                                  : describe_found(value);
    return;
  }
  const bool is_object = value.kind == JsonValue::Kind::kObject;
  const bool one_line = value.elements.empty() || fits_one_line(value, inside_array);
  const std::string indent(2 * depth, ' ');
  out += is_object ? '{' : '[';
  for (std::size_t i = 0; i < value.elements.size(); ++i) {
    if (i > 0) out += one_line ? ", " : ",";
    if (!one_line) out += "\n  " + indent;
    if (is_object) out += quote_json(value.keys[i]) + ": ";
    print(value.elements[i], depth + 1, !is_object, out);
  }
  if (!one_line) out += "\n" + indent;
  out += is_object ? '}' : ']';
}

}  // namespace

std::string print_json(const JsonValue& value) {
  std::string out;
  print(value, 0, false, out);
  return out + "\n";
}

}  // namespace sluice::config
