#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/error.h"

namespace sluice::config {

// A JSON text as a tree that remembers what strict reading needs: lines, the order of keys, and
// whether a number was written as an integer.
struct JsonValue {
  enum class Kind { kNull, kBool, kInteger, kReal, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool boolean = false;
  int line = 0;  // where it starts in its text; 0: not read from a file
  std::int64_t integer = 0;
  double real = 0;
  std::string text = {};                 // kString: the content; kReal: the number as written
  std::vector<std::string> keys = {};    // kObject: one for each element
  std::vector<JsonValue> elements = {};  // kArray, kObject

  // nullptr when there is no such key.
  const JsonValue* find(std::string_view key) const;
  JsonValue* find(std::string_view key);
  bool is_container() const { return kind == Kind::kArray || kind == Kind::kObject; }
};

// Two spaces for each level; arrays of scalars, and objects of scalars inside arrays, on one line.
// Error kUsage when a string is not UTF-8.
std::string print_json(const JsonValue& value);

// "SOURCE: line N: PATH: WHAT" as Error kUsage; line 0 and empty parts are left out.
Error config_error(std::string_view source, int line, std::string_view path, std::string_view what);

// "a.b" and "a.0"; of a key longer than any of ours only the start.
std::string join_path(std::string_view path, std::string_view key);
std::string join_path(std::string_view path, std::size_t index);

// The value in a few words, for "found ...".
std::string describe_found(const JsonValue& value);

}  // namespace sluice::config
