#include "src/config/json_parser.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/config/refusal.h"

namespace sluice::config {
namespace {

JsonValue parse(const std::string& text) {
  return parse_json(text, {.source = "x.json", .path = "", .is_file = true});
}

std::string refused(const std::string& text) {
  return refusal(ExitCode::kUsage, [&] { parse(text); });
}

TEST_CASE("parse_json: keeps order, lines and how numbers were written", "[config]") {
  const JsonValue value =
      parse("{\"z\": 1,\n // note\n \"a\": [2.0,\n-3] /* end */,\n\"c\": {}\n}");
  REQUIRE(value.keys == std::vector<std::string>{"z", "a", "c"});
  CHECK(value.line == 1);
  CHECK(value.find("z")->line == 1);
  CHECK(value.find("z")->kind == JsonValue::Kind::kInteger);
  const JsonValue& list = *value.find("a");
  CHECK(list.line == 3);
  CHECK(list.elements[0].kind == JsonValue::Kind::kReal);
  CHECK(list.elements[0].text == "2.0");
  CHECK(list.elements[1].integer == -3);
  CHECK(list.elements[1].line == 4);
  CHECK(value.find("c")->line == 5);
}

TEST_CASE("parse_json: a number's line is its own, not that of the character behind it",
          "[config]") {
  CHECK(parse("[1\n\n]").elements[0].line == 1);
  CHECK(parse("\n\n[1\r\n]").elements[0].line == 3);
  CHECK(parse("\n7").line == 2);
}

TEST_CASE("parse_json: what is not JSON is refused with its place and a reason", "[config]") {
  struct Case {
    std::string text;
    std::vector<std::string> said;
  };
  const std::vector<Case> cases = {
      {"", {"line 1: empty"}},
      {" \n\t\r\n", {"line 1: empty"}},
      {"// only a comment", {"not JSON", "found the end"}},
      {"\xef\xbb\xbf{}", {"line 1: starts with a byte order mark"}},
      {"{\"a\": {\"b\": 1,\n}}", {"line 2: a.b: not JSON", "found \"}\"", "comma before it"}},
      {"{\"a\": [1,\n2,]}", {"line 2: a.2: not JSON", "comma before it"}},
      {"{\"a\": }", {"line 1: a: not JSON", "found \"}\""}},
      {"{\"a\": NaN}", {"a: not JSON", "found \"NaN\"", "NaN and Infinity are not allowed"}},
      {"{\"a\": -Infinity}", {"a: not JSON", "NaN and Infinity are not allowed"}},
      {"{\"a\": 1e400}", {"a: number too large", "found 1e400"}},
      {"{\"a\": 01}", {"a: not JSON"}},
      {"{\"a\": +1}", {"a: not JSON"}},
      {"{\"a\": .5}", {"a: not JSON"}},
      {"{\"a\": 'x'}", {"a: not JSON"}},
      {"{a: 1}", {"not JSON", "found \"a\""}},
      {"{\"a\": \"x\ny\"}", {"a: not JSON"}},
      {"{\"a\": \"\xff\"}", {"a: not JSON", "UTF-8", "\\xff"}},
      {"{\"a\": \"\xed\xa0\x80\"}", {"a: not JSON", "UTF-8"}},
      {"{\"a\": \"\\ud800\"}", {"a: not JSON", "surrogate"}},
      {"{\"a\": \"x\\u0000y\"}", {"a: a string must not contain NUL"}},
      {"{\"a\": 1} x", {"not JSON", "expected end of input", "found \"x\""}},
      {"{} {}", {"not JSON", "expected end of input", "found \"{\""}},
      {"{\"a\": 1", {"a: not JSON", "found the end"}},
      {"{\"a\": 1 /* open", {"a: not JSON", "comment"}},
      {"{\"a\": {\"b\": 1,\n\"b\": 2}}", {"line 2: a.b: duplicate key", "found \"b\" twice"}},
      {"{\"\\u001b[31m\": 1, \"\\u001b[31m\": 1}", {"\\u{1b}[31m: duplicate key"}},
      {"{\"a\": \xe2\x80\xae}", {"a: not JSON"}},
      {std::string("{\"a\": 1\0}", 9), {"a: not JSON"}},
  };
  for (const Case& c : cases) {
    const std::string text = refused(c.text);
    INFO(c.text << "\n" << text);
    CHECK(text.starts_with("x.json: line "));
    for (const std::string& part : c.said) CHECK(text.find(part) != std::string::npos);
  }
}

TEST_CASE("parse_json: depth and size are bounded before anything is built", "[config]") {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  CHECK_NOTHROW(parse(nested(kMaxJsonDepth)));
  CHECK(refused(nested(kMaxJsonDepth + 1)).find("nested too deep") != std::string::npos);
  CHECK(refused(std::string(500'000, '[')).find("nested too deep") != std::string::npos);
  CHECK_NOTHROW(parse("1" + std::string(kMaxJsonBytes - 1, ' ')));
  CHECK(refused("1" + std::string(kMaxJsonBytes, ' ')).find("too large") != std::string::npos);
}

TEST_CASE("parse_json: many keys and long tokens stay cheap, their error lines short", "[config]") {
  std::string many = "{\"k\": 0";
  for (int i = 0; many.size() < kMaxJsonBytes - 20; ++i) many += ",\"" + std::to_string(i) + "\":0";
  CHECK_NOTHROW(parse(many + "}"));
  refused(many + ",\"5\": 0}");
  const std::string name(900'000, 'n');
  refused("{\"" + name + "\": x}");
  refused("{\"a\": " + name + "}");
  refused("{\"a\": \"" + name);
}

TEST_CASE("parse_json: text of an option has no lines and no comments", "[config]") {
  const JsonOrigin option{.source = "--set", .path = "a.b", .is_file = false};
  CHECK(parse_json("[1, 2]", option).elements.size() == 2);
  CHECK(
      refusal(ExitCode::kUsage, [&] { parse_json("1 // x", option); }).starts_with("--set: a.b: "));
  CHECK(refusal(ExitCode::kUsage, [&] {
          parse_json("[1,]", option);
        }).starts_with("--set: a.b.1: not JSON"));
}

}  // namespace
}  // namespace sluice::config
