#include "sluice/config/schema.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/config/config.h"

namespace sluice::config {
namespace {

using Json = nlohmann::json;

bool is_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  throw std::runtime_error("unknown type " + type);
}

bool is_valid(const Json& schema, const Json& value);

// One keyword of a schema, by the validation vocabulary of draft 2020-12.
bool holds(const std::string& keyword, const Json& argument, const Json& schema,
           const Json& value) {
  const bool number = value.is_number();
  if (keyword == "type") return is_type(value, argument);
  if (keyword == "minimum") return !number || value >= argument;
  if (keyword == "maximum") return !number || value <= argument;
  if (keyword == "exclusiveMinimum") return !number || value > argument;
  if (keyword == "exclusiveMaximum") return !number || value < argument;
  if (keyword == "minItems")
    return !value.is_array() || value.size() >= argument.get<std::size_t>();
  if (keyword == "enum")
    return std::find(argument.begin(), argument.end(), value) != argument.end();
  if (keyword == "pattern") {
    return !value.is_string() ||
           std::regex_search(value.get<std::string>(), std::regex(argument.get<std::string>()));
  }
  const auto accepts = [&](const Json& choice) { return is_valid(choice, value); };
  if (keyword == "anyOf") return std::any_of(argument.begin(), argument.end(), accepts);
  if (keyword == "items") {
    return !value.is_array() || std::all_of(value.begin(), value.end(), [&](const Json& element) {
      return is_valid(argument, element);
    });
  }
  if (keyword == "properties") {
    for (const auto& [key, inside] : value.items()) {
      if (argument.contains(key) && !is_valid(argument[key], inside)) return false;
    }
    return true;
  }
  if (keyword == "additionalProperties") {
    for (const auto& [key, inside] : value.items()) {
      if (!schema["properties"].contains(key)) return argument.get<bool>();
    }
    return true;
  }
  for (const char* known : {"$schema", "title", "description", "default"}) {
    if (keyword == known) return true;
  }
  throw std::runtime_error("a keyword that no test knows: " + keyword);
}

bool is_valid(const Json& schema, const Json& value) {
  for (const auto& [keyword, argument] : schema.items()) {
    if (keyword == "properties" || keyword == "additionalProperties") {
      if (!value.is_object()) continue;
    }
    if (!holds(keyword, argument, schema, value)) return false;
  }
  return true;
}

const Json& schema() {
  static const Json parsed = Json::parse(schema_json());
  return parsed;
}

Json parse_with_comments(std::string_view text) {
  return Json::parse(text, nullptr, true, /*ignore_comments=*/true);
}

// The struct inside a schema, also of the elements of an array; null where there is none.
const Json* properties_of(const Json& part) {
  if (part.contains("properties")) return &part["properties"];
  return part.contains("items") ? properties_of(part["items"]) : nullptr;
}

// Paths of all keys, those inside arrays once.
void collect_keys(const Json& part, const std::string& path, std::vector<std::string>& keys) {
  const Json* properties = properties_of(part);
  if (properties == nullptr) return;
  for (const auto& [key, inside] : properties->items()) {
    keys.push_back(path + key);
    collect_keys(inside, path + key + ".", keys);
  }
}
void collect_dump_keys(const Json& tree, const std::string& path, std::vector<std::string>& keys) {
  if (tree.is_array() && !tree.empty()) return collect_dump_keys(tree[0], path, keys);
  if (!tree.is_object()) return;
  for (const auto& [key, inside] : tree.items()) {
    keys.push_back(path + key);
    collect_dump_keys(inside, path + key + ".", keys);
  }
}

TEST_CASE("schema_json: every preset and every dump is valid", "[config]") {
  CHECK(schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  CHECK(is_valid(schema(), Json::parse(to_json(Config{}))));
  for (const Preset& preset : presets()) {
    CAPTURE(preset.name);
    CHECK(is_valid(schema(), parse_with_comments(preset.text)));
    CHECK(is_valid(schema(), Json::parse(to_json(load_config(std::string(preset.name))))));
  }
}

TEST_CASE("schema_json: its keys are those of a dump, no more and no less", "[config]") {
  std::vector<std::string> in_schema, in_dump;
  collect_keys(schema(), "", in_schema);
  collect_dump_keys(Json::parse(to_json(Config{})), "", in_dump);
  CHECK(in_schema == in_dump);
  CHECK(in_schema.size() > 60);
}

void check_defaults(const Json& part, const std::string& path) {
  const Json* properties = properties_of(part);
  for (const auto& [key, inside] : properties->items()) {
    CAPTURE(path + key);
    CHECK_FALSE(inside["description"].get<std::string>().empty());
    CHECK(inside.contains("default") == !inside.contains("properties"));
    if (inside.contains("default")) CHECK(is_valid(inside, inside["default"]));
    if (properties_of(inside) != nullptr) check_defaults(inside, path + key + ".");
  }
}

TEST_CASE("schema_json: every key has a description and a default that is valid", "[config]") {
  check_defaults(schema(), "");
  const Json& model = schema()["properties"]["model"]["properties"];
  CHECK(model["blocks"]["items"]["properties"]["repeat"]["default"] == 1);  // of a block of its own
  CHECK(model["blocks"]["default"][0]["repeat"] == 8);                      // of the network
}

// What reading says of a config, for comparison.
bool reads(const std::string& text) {
  try {
    parse_config(text, "test");
    return true;
  } catch (const Error&) {
    return false;
  }
}

TEST_CASE("schema_json: refuses what reading refuses and takes what it takes", "[config]") {
  const std::string text = GENERATE(
      as<std::string>{},
      // taken
      R"({})", R"({"data": {"train": "one.txt"}})", R"({"data": {"train": ["a", "b"]}})",
      R"({"tokenizer": {"vocab_size": "auto"}})", R"({"tokenizer": {"vocab_size": null}})",
      R"({"tokenizer": {"vocab_size": 2}})", R"({"model": {"output": {"cutoffs": [10, 20]}}})",
      R"({"model": {"output": {"cutoffs": "auto"}}})", R"({"train": {"max_time": "90m"}})",
      R"({"train": {"max_time": "1.5h"}})", R"({"train": {"max_time": 3.5}})",
      R"({"train": {"max_time": "1e2"}})", R"({"train": {"max_steps": null}})",
      R"({"optimizer": {"betas": [0.5, 0.5]}})",
      // refused
      R"([])", R"({"nonsense": 1})", R"({"data": {"trian": []}})", R"({"data": {"train": 3}})",
      R"({"data": {"train": [3]}})", R"({"data": {"valid_fraction": 0}})",
      R"({"data": {"valid_fraction": 1}})", R"({"data": {"batch_size": 0}})",
      R"({"data": {"batch_size": 2.5}})", R"({"data": {"batch_size": "auto"}})",
      R"({"data": {"batch_size": true}})", R"({"data": {"mode": "stram"}})",
      R"({"data": {"unk_in_text": 1}})", R"({"tokenizer": {"vocab_size": 1}})",
      R"({"tokenizer": {"vocab_size": "many"}})", R"({"train": {"max_steps": "auto"}})",
      R"({"train": {"max_time": "90x"}})", R"({"train": {"max_time": "-90s"}})",
      R"({"train": {"max_time": 0}})", R"({"train": {"seed": -1}})", R"({"model": {"blocks": []}})",
      R"({"model": {"blocks": [{"layers": []}]}})",
      R"({"model": {"blocks": [{"layers": [{"kernel": 0}]}]}})",
      R"({"model": {"blocks": [{"layers": [{"kernle": 1}]}]}})", R"({"model": {"gate": "GLU"}})",
      R"({"model": {"dropout": {"layer": 1}}})", R"({"model": {"output": {"cutoffs": [0]}}})",
      R"({"model": null})");
  CAPTURE(text);
  CHECK(is_valid(schema(), Json::parse(text)) == reads(text));
}

TEST_CASE("schema_json: names of an enum are those that reading takes, in order", "[config]") {
  const Json& gate = schema()["properties"]["model"]["properties"]["gate"]["enum"];
  REQUIRE(gate.size() == enum_names<kernels::Gate>.size());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    CHECK(gate[i] == std::string(enum_names<kernels::Gate>[i].second));
  }
}

}  // namespace
}  // namespace sluice::config
