#include "sluice/config/schema.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "sluice/config/config.h"
#include "src/config/field_json.h"
#include "src/config/field_write.h"

namespace sluice::config {
namespace {

using Kind = JsonValue::Kind;

JsonValue object() { return {.kind = Kind::kObject}; }
JsonValue list() { return {.kind = Kind::kArray}; }
JsonValue truth(bool value) { return {.kind = Kind::kBool, .boolean = value}; }

void put(JsonValue& target, std::string_view key, JsonValue value) {
  target.keys.emplace_back(key);
  target.elements.push_back(std::move(value));
}

JsonValue of_type(std::string_view name) {
  JsonValue schema = object();
  put(schema, "type", text_value(name));
  return schema;
}

// Whole bounds without a point: 1 rather than 1.0.
JsonValue bound(double value) {
  if (value == std::floor(value) && std::abs(value) < 9007199254740992.0) {
    return {.kind = Kind::kInteger, .integer = static_cast<std::int64_t>(value)};
  }
  return {.kind = Kind::kReal, .real = value};
}

void put_bounds(JsonValue& schema, const Range& range) {
  if (std::isfinite(range.min)) {
    put(schema, range.above_min ? "exclusiveMinimum" : "minimum", bound(range.min));
  }
  if (std::isfinite(range.max)) {
    put(schema, range.below_max ? "exclusiveMaximum" : "maximum", bound(range.max));
  }
}

JsonValue number_schema(std::string_view type, const Range& range) {
  JsonValue schema = of_type(type);
  put_bounds(schema, range);
  return schema;
}

JsonValue any_of(JsonValue first, JsonValue second) {
  JsonValue choices = list();
  choices.elements = {std::move(first), std::move(second)};
  JsonValue schema = object();
  put(schema, "anyOf", std::move(choices));
  return schema;
}

// A number of seconds, or with a unit as decimal_seconds() takes it.
JsonValue seconds_schema(const Range& range) {
  JsonValue words = of_type("string");
  const std::string sign = range.min < 0 ? "-?" : "";
  put(words, "pattern",
      text_value("^" + sign + R"(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[smh]?$)"));
  return any_of(number_schema("number", range), std::move(words));
}

template <class Enum>
JsonValue enum_schema() {
  JsonValue names = list();
  for (const auto& [enumerator, name] : enum_names<Enum>) {
    names.elements.push_back(text_value(name));
  }
  JsonValue schema = object();
  put(schema, "enum", std::move(names));
  return schema;
}

// What may stand instead of a value.
JsonValue nothing_schema(std::string_view path) {
  if (!null_is_auto(path)) return of_type("null");
  JsonValue names = list();
  names.elements = {text_value("auto"), JsonValue{}};
  JsonValue schema = object();
  put(schema, "enum", std::move(names));
  return schema;
}

template <class T>
JsonValue schema_of(const Range& range, const std::string& path);

template <class T>
JsonValue vector_schema(const Range& range, const std::string& path) {
  constexpr bool is_text = std::is_same_v<T, std::string>;
  JsonValue schema = of_type("array");
  put(schema, "items", schema_of<T>(range, path));
  if constexpr (std::is_class_v<T> && !is_text) {
    put(schema, "minItems", bound(std::max(1.0, range.min)));
  }
  return is_text ? any_of(of_type("string"), std::move(schema)) : schema;
}

template <class Struct>
JsonValue struct_schema(const std::string& path) {
  JsonValue properties = object();
  const Struct defaults{};
  Struct::fields(defaults, [&]<class T>(std::string_view name, const T& member, const Range& range,
                                        std::string_view help) {
    const std::string inside = join_path(path, name);
    JsonValue schema = schema_of<T>(range, inside);
    put(schema, "description", text_value(help));
    constexpr bool has_keys = std::is_class_v<T> && requires { &T::template fields<T, int>; };
    if constexpr (!has_keys) put(schema, "default", write(member, inside));
    put(properties, name, std::move(schema));
  });
  JsonValue schema = of_type("object");
  put(schema, "additionalProperties", truth(false));
  put(schema, "properties", std::move(properties));
  return schema;
}

template <class T>
JsonValue schema_of(const Range& range, const std::string& path) {
  if constexpr (std::is_same_v<T, bool>) {
    return of_type("boolean");
  } else if constexpr (std::is_same_v<T, Index>) {
    return number_schema("integer", range);
  } else if constexpr (std::is_same_v<T, double>) {
    return number_schema("number", range);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return of_type("string");
  } else if constexpr (std::is_same_v<T, Seconds>) {
    return seconds_schema(range);
  } else if constexpr (std::is_enum_v<T>) {
    return enum_schema<T>();
  } else if constexpr (is_optional<T>) {
    return any_of(schema_of<typename T::value_type>(range, path), nothing_schema(path));
  } else if constexpr (is_vector<T>) {
    return vector_schema<typename T::value_type>(range, path);
  } else {
    return struct_schema<T>(path);
  }
}

}  // namespace

std::string schema_json() {
  JsonValue schema = object();
  put(schema, "$schema", text_value("https://json-schema.org/draft/2020-12/schema"));
  put(schema, "title", text_value("Sluice config"));
  JsonValue config = struct_schema<Config>("");
  for (std::size_t i = 0; i < config.keys.size(); ++i) {
    put(schema, config.keys[i], std::move(config.elements[i]));
  }
  return print_json(schema);
}

}  // namespace sluice::config
