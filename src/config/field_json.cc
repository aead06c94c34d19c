#include "src/config/field_json.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <type_traits>

#include "sluice/base/decimal.h"
#include "sluice/base/nearest_name.h"
#include "sluice/base/printable.h"
#include "src/config/field_write.h"

namespace sluice::config {
namespace {

using Kind = JsonValue::Kind;

// One value of the tree on its way into a field: where it is and what may stand there.
struct Place {
  const std::string& source;
  std::string path;
  Range range;
  bool nullable = false;

  Place at(std::string_view key, const Range& key_range) const {
    return {source, join_path(path, key), key_range};
  }
  Place at(std::size_t index) const { return {source, join_path(path, index), range}; }

  Error refuse(const JsonValue& value, std::string_view what, std::string expected,
               std::string_view hint = "") const {
    if (nullable) expected += null_is_auto(path) ? ", or \"auto\"" : ", or null";
    return config_error(
        source, value.line, path,
        fmt::format("{} (expected {}, found {}){}", what, expected, describe_found(value), hint));
  }
};

// Overload resolution must see all of these from within each other.
template <class T>
void read(const JsonValue& value, const Place& place, T& field);

void read_bool(const JsonValue& value, const Place& place, bool& field) {
  if (value.kind != Kind::kBool) throw place.refuse(value, "wrong type", "true or false");
  field = value.boolean;
}

void read_integer(const JsonValue& value, const Place& place, Index& field) {
  const std::string expected = describe_integers(place.range);
  if (value.kind == Kind::kReal && value.text.find_first_of(".eE") == std::string::npos) {
    throw place.refuse(value, "out of range", expected);  // more digits than an integer holds
  }
  if (value.kind != Kind::kInteger) throw place.refuse(value, "wrong type", expected);
  // Compared as a double before anything is narrowed; bounds stay below 2^53.
  if (!contains(place.range, static_cast<double>(value.integer))) {
    throw place.refuse(value, "out of range", expected);
  }
  field = static_cast<Index>(value.integer);
}

std::optional<double> number_in(const JsonValue& value) {
  if (value.kind == Kind::kInteger) return static_cast<double>(value.integer);
  return value.kind == Kind::kReal ? std::optional(value.real) : std::nullopt;
}

void read_number(const JsonValue& value, const Place& place, double& field) {
  const std::optional<double> number = number_in(value);
  const std::string expected = describe_numbers(place.range);
  if (!number) throw place.refuse(value, "wrong type", expected);
  if (!contains(place.range, *number)) throw place.refuse(value, "out of range", expected);
  field = *number;
}

void read_seconds(const JsonValue& value, const Place& place, Seconds& field) {
  std::optional<double> number = number_in(value);
  if (value.kind == Kind::kString) {
    if (const auto seconds = decimal_seconds(value.text)) number = seconds->value;
  }
  const std::string expected = describe_seconds(place.range);
  if (!number) throw place.refuse(value, "wrong type", expected);
  if (!contains(place.range, *number)) throw place.refuse(value, "out of range", expected);
  field.value = *number;
}

void read_string(const JsonValue& value, const Place& place, std::string& field) {
  if (value.kind != Kind::kString) throw place.refuse(value, "wrong type", "a string");
  try {  // JSON text is checked by its parser, a word of the command line only here
    nlohmann::json(value.text).dump();
  } catch (const nlohmann::json::exception&) {
    throw place.refuse(value, "not UTF-8", "a string in UTF-8");
  }
  field = value.text;
}

template <class Enum>
void read_enum(const JsonValue& value, const Place& place, Enum& field) {
  std::vector<std::string_view> names;
  for (const auto& [enumerator, name] : enum_names<Enum>) {
    if (value.kind == Kind::kString && value.text == name) {
      field = enumerator;
      return;
    }
    names.push_back(name);
  }
  const std::string expected =
      names.size() == 1 ? quote(names[0]) : "one of " + comma_separated(names);
  if (value.kind != Kind::kString) throw place.refuse(value, "wrong type", expected);
  throw place.refuse(value, "unknown name", expected, did_you_mean(value.text, names));
}

template <class T>
void read_vector(const JsonValue& value, const Place& place, std::vector<T>& field) {
  constexpr bool is_struct = std::is_class_v<T> && !std::is_same_v<T, std::string>;
  if (std::is_same_v<T, std::string> && value.kind == Kind::kString) {
    field.assign(1, T{});
    return read(value, place, field[0]);
  }
  if (value.kind != Kind::kArray) {
    throw place.refuse(value, "wrong type",
                       is_struct                        ? "an array of objects"
                       : std::is_same_v<T, std::string> ? "a string or an array of strings"
                                                        : "an array of numbers");
  }
  if (is_struct && static_cast<double>(value.elements.size()) < std::max(1.0, place.range.min)) {
    throw place.refuse(
        value, "out of range",
        fmt::format("an array of {} or more objects", std::max(1.0, place.range.min)));
  }
  std::vector<T> elements(value.elements.size());
  for (std::size_t i = 0; i < elements.size(); ++i) {
    read(value.elements[i], place.at(i), elements[i]);
  }
  field = std::move(elements);
}

template <class Struct>
void read_struct(const JsonValue& value, const Place& place, Struct& field) {
  if (value.kind != Kind::kObject) throw place.refuse(value, "wrong type", "an object");
  std::vector<std::string> names;
  Struct::fields(field, [&](std::string_view name, auto&, const Range&, std::string_view) {
    names.emplace_back(name);
  });
  for (std::size_t i = 0; i < value.keys.size(); ++i) {
    if (std::find(names.begin(), names.end(), value.keys[i]) != names.end()) continue;
    throw config_error(place.source, value.elements[i].line, join_path(place.path, value.keys[i]),
                       unknown_key(value.keys[i], names));
  }
  Struct::fields(field,
                 [&](std::string_view name, auto& member, const Range& range, std::string_view) {
                   if (const JsonValue* found = value.find(name))
                     read(*found, place.at(name, range), member);
                 });
}

template <class T>
void read(const JsonValue& value, const Place& place, T& field) {
  if constexpr (std::is_same_v<T, bool>) {
    read_bool(value, place, field);
  } else if constexpr (std::is_same_v<T, Index>) {
    read_integer(value, place, field);
  } else if constexpr (std::is_same_v<T, double>) {
    read_number(value, place, field);
  } else if constexpr (std::is_same_v<T, std::string>) {
    read_string(value, place, field);
  } else if constexpr (std::is_same_v<T, Seconds>) {
    read_seconds(value, place, field);
  } else if constexpr (std::is_enum_v<T>) {
    read_enum(value, place, field);
  } else if constexpr (is_vector<T>) {
    read_vector(value, place, field);
  } else if constexpr (is_optional<T>) {
    const bool is_auto =
        null_is_auto(place.path) && value.kind == Kind::kString && value.text == "auto";
    if (value.kind == Kind::kNull || is_auto) {
      field.reset();
      return;
    }
    Place inside = place;
    inside.nullable = true;
    typename T::value_type content{};
    read(value, inside, content);
    field = std::move(content);
  } else {
    read_struct(value, place, field);
  }
}

// Where else in a config the key would be right; empty: nowhere.
std::string path_of_key(const JsonValue& tree, std::string_view key, const std::string& path) {
  for (std::size_t i = 0; i < tree.elements.size(); ++i) {
    const bool in_object = tree.kind == Kind::kObject;
    std::string inside = in_object ? join_path(path, tree.keys[i]) : join_path(path, i);
    if (in_object && tree.keys[i] == key) return inside;
    inside = path_of_key(tree.elements[i], key, inside);
    if (!inside.empty()) return inside;
  }
  return "";
}

}  // namespace

std::string unknown_key(std::string_view key, const std::vector<std::string>& valid) {
  const std::vector<std::string_view> names(valid.begin(), valid.end());
  std::string hint = did_you_mean(key, names);
  if (hint.empty()) {
    const std::string elsewhere = path_of_key(config_tree(Config{}), key, "");
    if (!elsewhere.empty()) hint = fmt::format("; did you mean \"{}\"?", elsewhere);
  }
  return fmt::format("unknown key (expected one of {}, found {}){}", comma_separated(names),
                     quote(key), hint);
}

void read_config(const JsonValue& tree, const std::string& source, Config& config) {
  read(tree, Place{source, "", Range{}}, config);
}

JsonValue config_tree(const Config& config) { return write(config, ""); }

}  // namespace sluice::config
