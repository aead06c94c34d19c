#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"
#include "src/config/json_value.h"

// From a field to JSON, by its type: what dumps and the schema share.
namespace sluice::config {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

// Here null has a name that says more: the value is chosen, from the text or for the CPU.
inline bool null_is_auto(std::string_view path) {
  return path == "tokenizer.vocab_size" || path == "model.output.cutoffs" ||
         path == "train.precision";
}

inline JsonValue text_value(std::string_view text) {
  return {.kind = JsonValue::Kind::kString, .text = std::string(text)};
}

// Whole hours, minutes and seconds with their unit, which is how people write them.
inline JsonValue seconds_value(Seconds seconds) {
  const double value = seconds.value;
  if (value != std::floor(value) || std::abs(value) > 1e15) {
    return {.kind = JsonValue::Kind::kReal, .real = value};
  }
  const auto whole = static_cast<std::int64_t>(value);
  if (whole != 0 && whole % 3600 == 0) return text_value(fmt::format("{}h", whole / 3600));
  if (whole != 0 && whole % 60 == 0) return text_value(fmt::format("{}m", whole / 60));
  return text_value(fmt::format("{}s", whole));
}

template <class T>
JsonValue write(const T& field, const std::string& path) {
  if constexpr (std::is_same_v<T, bool>) {
    return {.kind = JsonValue::Kind::kBool, .boolean = field};
  } else if constexpr (std::is_same_v<T, Index>) {
    return {.kind = JsonValue::Kind::kInteger, .integer = field};
  } else if constexpr (std::is_same_v<T, double>) {
    return {.kind = JsonValue::Kind::kReal, .real = field};
  } else if constexpr (std::is_same_v<T, std::string>) {
    return text_value(field);
  } else if constexpr (std::is_same_v<T, Seconds>) {
    return seconds_value(field);
  } else if constexpr (std::is_enum_v<T>) {
    for (const auto& [enumerator, name] : enum_names<T>) {
      if (enumerator == field) return text_value(name);
    }
    throw Error(ExitCode::kInternal, "{}: a value without a name", path);
  } else if constexpr (is_optional<T>) {
    if (field) return write(*field, path);
    return null_is_auto(path) ? text_value("auto") : JsonValue{};
  } else if constexpr (is_vector<T>) {
    JsonValue result{.kind = JsonValue::Kind::kArray};
    for (std::size_t i = 0; i < field.size(); ++i) {
      result.elements.push_back(write(field[i], join_path(path, i)));
    }
    return result;
  } else {
    JsonValue result{.kind = JsonValue::Kind::kObject};
    T::fields(field,
              [&](std::string_view name, const auto& member, const Range&, std::string_view) {
                result.keys.emplace_back(name);
                result.elements.push_back(write(member, join_path(path, name)));
              });
    return result;
  }
}

}  // namespace sluice::config
