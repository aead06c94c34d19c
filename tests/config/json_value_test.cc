#include "src/config/json_value.h"

#include <catch2/catch.hpp>
#include <limits>
#include <string>

#include "src/config/json_parser.h"
#include "tests/config/refusal.h"

namespace sluice::config {
namespace {

JsonValue parse(const std::string& text) {
  return parse_json(text, {.source = "x", .path = "", .is_file = true});
}

TEST_CASE("print_json: lists of scalars take one line, the rest is indented", "[config]") {
  const std::string text =
      "{\n  \"a\": [1, 2.5, \"x\\n\\\"\"],\n  \"b\": [\n    {\"c\": 1e-08, \"d\": null}\n  ],\n"
      "  \"e\": {\n    \"f\": true\n  },\n  \"g\": []\n}\n";
  CHECK(print_json(parse(text)) == text);
}

TEST_CASE("print_json: what JSON cannot hold is refused", "[config]") {
  const JsonValue bytes{.kind = JsonValue::Kind::kString, .text = "a\xff"};
  CHECK(refusal(ExitCode::kUsage, [&] { print_json(bytes); }).find("\\xff") != std::string::npos);
  const JsonValue infinite{.kind = JsonValue::Kind::kReal,
                           .real = std::numeric_limits<double>::infinity()};
  refusal(ExitCode::kInternal, [&] { print_json(infinite); });
}

TEST_CASE("describe_found: says what was written, briefly", "[config]") {
  CHECK(describe_found(parse("null")) == "null");
  CHECK(describe_found(parse("true")) == "true");
  CHECK(describe_found(parse("-7")) == "-7");
  CHECK(describe_found(parse("1e3")) == "1e3");
  CHECK(describe_found(parse("\"a\\nb\"")) == "\"a\\nb\"");
  CHECK(describe_found(parse("[]")) == "an empty array");
  CHECK(describe_found(parse("[1]")) == "an array");
  CHECK(describe_found(parse("{}")) == "an object");
  CHECK(describe_found(parse("0." + std::string(1000, '1'))).size() < 50);
}

TEST_CASE("config_error: leaves out what is not known", "[config]") {
  CHECK(std::string(config_error("a\nb", 3, "k", "bad").what()) == "a\\nb: line 3: k: bad");
  CHECK(std::string(config_error("--set", 0, "", "bad").what()) == "--set: bad");
  CHECK(join_path(join_path("", "a"), 0) == "a.0");
}

}  // namespace
}  // namespace sluice::config
