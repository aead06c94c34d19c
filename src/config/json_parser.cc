#include "src/config/json_parser.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "sluice/base/counted_characters.h"
#include "sluice/base/printable.h"

namespace sluice::config {
namespace {

using Json = nlohmann::json;

// Builds the tree from the parser's events. The library's own tree would keep the last of two equal
// keys, forget lines, and crash on deep nesting.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  TreeBuilder(std::string_view text, const JsonOrigin& origin)
      : text_(text), origin_(origin), counted_(text.data()) {}

  // Characters that the parser has taken.
  std::size_t* taken() { return &taken_; }
  JsonValue take() { return std::move(root_); }

  bool null() override { return add({}); }
  bool boolean(bool value) override {
    return add({.kind = JsonValue::Kind::kBool, .boolean = value});
  }
  bool number_integer(number_integer_t value) override {
    return add({.kind = JsonValue::Kind::kInteger, .integer = value});
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (std::in_range<std::int64_t>(value)) return number_integer(static_cast<std::int64_t>(value));
    return number_float(static_cast<double>(value), std::to_string(value));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    return add({.kind = JsonValue::Kind::kReal, .real = value, .text = text});
  }
  bool string(string_t& value) override {
    if (value.find('\0') != std::string::npos) fail("a string must not contain NUL");
    return add({.kind = JsonValue::Kind::kString, .text = value});
  }
  bool binary(binary_t&) override { return false; }  // does not occur in text

  bool start_object(std::size_t) override { return open(JsonValue::Kind::kObject); }
  bool start_array(std::size_t) override { return open(JsonValue::Kind::kArray); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    level.value.keys.push_back(name);
    if (!level.seen.insert(name).second) {
      fail("duplicate key (expected each key once, found " + quote(name) + " twice)");
    }
    return true;
  }

  bool parse_error(std::size_t, const std::string& last_token,
                   const nlohmann::detail::exception& error) override {
    fail(explain(last_token, error));
  }

 private:
  struct Level {
    JsonValue value;
    std::unordered_set<std::string> seen;
  };

  [[noreturn]] void fail(const std::string& what) {
    throw config_error(origin_.source, line(), path(), what);
  }

  // The line of the token just read. The last character may be one that the parser only looked at
  // to see a number end.
  int line() {
    if (!origin_.is_file) return 0;
    const char* const end = std::max(counted_, text_.data() + taken_ - 1);
    line_ += static_cast<int>(std::count(counted_, end, '\n'));
    counted_ = end;
    return line_;
  }

  std::string path() const {
    std::string result = origin_.path;
    for (const Level& level : levels_) {
      const JsonValue& value = level.value;
      if (value.kind == JsonValue::Kind::kArray) {
        result = join_path(result, value.elements.size());
      } else if (!value.keys.empty()) {
        result = join_path(result, value.keys.back());
      }
    }
    return result;
  }

  bool open(JsonValue::Kind kind) {
    if (levels_.size() == kMaxJsonDepth) {
      fail(fmt::format("nested too deep (expected at most {} levels)", kMaxJsonDepth));
    }
    levels_.push_back({.value = {.kind = kind, .line = line()}, .seen = {}});
    return true;
  }

  bool close() {
    JsonValue value = std::move(levels_.back().value);
    levels_.pop_back();
    return add(std::move(value));
  }

  bool add(JsonValue value) {
    if (!value.is_container()) value.line = line();
    (levels_.empty() ? root_ : levels_.back().value.elements.emplace_back()) = std::move(value);
    return true;
  }

  // The library's text without its name, number, position and quotation, which is unbounded and may
  // start long before the mistake.
  std::string explain(const std::string& last_token, const nlohmann::detail::exception& error) {
    if (error.id == 406) {
      return "number too large (expected a finite number, found " + last_token.substr(0, 40) + ")";
    }
    std::string detail = error.what(), expected;
    if (const std::size_t at = detail.find(" - "); at != std::string::npos) detail.erase(0, at + 3);
    if (const std::size_t at = detail.find("; expected "); at != std::string::npos) {
      expected = detail.substr(at + 2) + ", ";
      detail.erase(at);
    }
    detail.erase(std::min(detail.find("; last read"), detail.size()));
    const bool at_end = detail.find("end of input") != std::string::npos;
    const std::string_view found = at_end ? "" : word_read_last();
    std::string text = "not JSON: " + printable(detail) + " (" + expected + "found " +
                       (at_end ? "the end" : quote(found)) + ")";
    if (follows_comma(found)) text += "; a comma before it is not allowed";
    if (found.starts_with("NaN") || found.starts_with("Inf")) {
      text += "; NaN and Infinity are not allowed";
    }
    return text;
  }

  // From the start of the word that holds the last character read.
  std::string_view word_read_last() const {
    constexpr std::string_view kLetters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
    std::size_t begin = taken_;
    begin -= begin > 0 ? 1 : 0;
    std::size_t end = std::min(begin + 1, text_.size());
    if (kLetters.find(text_[begin]) == std::string_view::npos) return text_.substr(begin, 1);
    while (begin > 0 && kLetters.find(text_[begin - 1]) != std::string_view::npos) --begin;
    while (end < text_.size() && kLetters.find(text_[end]) != std::string_view::npos) ++end;
    return text_.substr(begin, end - begin);
  }

  bool follows_comma(std::string_view closing) const {
    if (closing != "}" && closing != "]") return false;
    const std::string_view before =
        text_.substr(0, static_cast<std::size_t>(closing.data() - text_.data()));
    const std::size_t last = before.find_last_not_of(" \t\r\n");
    return last != std::string_view::npos && before[last] == ',';
  }

  const std::string_view text_;
  const JsonOrigin& origin_;
  JsonValue root_;
  std::vector<Level> levels_;
  std::size_t taken_ = 0;
  const char* counted_;  // up to here the lines are counted
  int line_ = 1;
};

}  // namespace

JsonValue parse_json(std::string_view text, const JsonOrigin& origin) {
  const auto fail = [&](int line, const std::string& what) {
    throw config_error(origin.source, line, origin.path, what);
  };
  if (text.size() > kMaxJsonBytes) {
    fail(0, fmt::format("too large (expected at most {} bytes, found {})", kMaxJsonBytes,
                        text.size()));
  }
  const int first_line = origin.is_file ? 1 : 0;
  if (text.starts_with("\xef\xbb\xbf")) {
    fail(first_line, "starts with a byte order mark (expected plain UTF-8); save it without BOM");
  }
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    fail(first_line, "empty (expected a JSON value)");
  }
  TreeBuilder builder(text, origin);
  const CountedCharacters begin(text.data(), builder.taken());
  const CountedCharacters end(text.data() + text.size(), builder.taken());
  Json::sax_parse(begin, end, &builder, nlohmann::detail::input_format_t::json, true,
                  origin.is_file);
  return builder.take();
}

}  // namespace sluice::config
