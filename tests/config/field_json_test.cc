#include "src/config/field_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "sluice/base/random.h"
#include "sluice/config/config.h"
#include "tests/config/refusal.h"

// What holds for every key, whatever keys there are: cases are made from the field lists.
namespace sluice::config {
namespace {

template <class T>
constexpr bool is_optional = false;
template <class T>
constexpr bool is_optional<std::optional<T>> = true;
template <class T>
constexpr bool is_vector = false;
template <class T>
constexpr bool is_vector<std::vector<T>> = true;
template <class T>
concept Scalar = std::is_same_v<T, bool> || std::is_same_v<T, Index> || std::is_same_v<T, double> ||
    std::is_same_v<T, std::string> || std::is_same_v<T, Seconds> || std::is_enum_v<T>;

// A key with texts that must be refused there. `before` and `after` make a config of a value.
struct BadKey {
  std::string path, before, after;
  std::vector<std::string> wrong_type, out_of_range;
};

void add_out_of_range(BadKey& bad, const Range& range, bool is_integer) {
  if (std::isfinite(range.min)) {
    bad.out_of_range.push_back(fmt::format("{}", range.above_min ? range.min : range.min - 1));
  }
  if (std::isfinite(range.max)) {
    bad.out_of_range.push_back(fmt::format("{}", range.below_max ? range.max : range.max + 1));
  }
  if (!is_integer) return;
  for (const char* huge : {"2147483648000000", "9223372036854775807", "9223372036854775808",
                           "18446744073709551616", "-9223372036854775809"}) {
    const bool allowed = std::string_view(huge) == "2147483648000000" && range.max > 2.2e15;
    if (!allowed) bad.out_of_range.push_back(huge);
  }
}

template <class T>
void collect(const T&, const Range& range, BadKey bad, std::vector<BadKey>& all) {
  bad.wrong_type = {"{}", "null"};
  if constexpr (is_optional<T>) {
    std::vector<BadKey> inner;
    collect(typename T::value_type{}, range, bad, inner);
    for (BadKey& key : inner) {
      std::erase(key.wrong_type, "null");
      all.push_back(key);
    }
  } else if constexpr (Scalar<T>) {
    bad.wrong_type.insert(bad.wrong_type.end(), {"[]", "[1]"});
    const bool is_number = std::is_same_v<T, Index> || std::is_same_v<T, double>;
    const bool is_text = std::is_same_v<T, std::string> || std::is_enum_v<T>;
    if (!std::is_same_v<T, bool>) bad.wrong_type.insert(bad.wrong_type.end(), {"true", "false"});
    if (!is_text) bad.wrong_type.insert(bad.wrong_type.end(), {"\"\"", "\"0.1\\n\"", "\"0x1\""});
    if (is_number) bad.wrong_type.insert(bad.wrong_type.end(), {"\"1\"", "\"0.1\""});
    if (is_text || std::is_same_v<T, bool>) {
      bad.wrong_type.insert(bad.wrong_type.end(), {"1", "0", "0.5"});
    }
    if (std::is_enum_v<T>) bad.wrong_type.push_back("\"no such name\"");
    if (std::is_same_v<T, Index>) {
      bad.wrong_type.insert(bad.wrong_type.end(), {"2.9", "1e3", "2.0", "-0.0"});
      add_out_of_range(bad, range, true);
    }
    if (std::is_same_v<T, double> || std::is_same_v<T, Seconds>)
      add_out_of_range(bad, range, false);
    if (std::is_same_v<T, Seconds>) bad.out_of_range.push_back("\"0s\"");
    all.push_back(bad);
  } else if constexpr (is_vector<T>) {
    using Element = typename T::value_type;
    bad.wrong_type.insert(bad.wrong_type.end(), {"1", "true"});
    if (!std::is_same_v<Element, std::string>) bad.wrong_type.push_back("\"1\"");
    if (!Scalar<Element>) bad.out_of_range = {"[]"};
    all.push_back(bad);
    BadKey first{bad.path + ".0", bad.before + "[", "]" + bad.after, {}, {}};
    collect(Element{}, range, first, all);
  } else {
    bad.wrong_type.erase(bad.wrong_type.begin());
    bad.wrong_type.insert(bad.wrong_type.end(), {"[]", "1", "true", "\"x\""});
    all.push_back(bad);
    const T defaults{};
    T::fields(defaults, [&](std::string_view name, const auto& field, const Range& inside,
                            std::string_view help) {
      CHECK_FALSE(help.empty());
      const std::string path =
          bad.path.empty() ? std::string(name) : fmt::format("{}.{}", bad.path, name);
      collect(field, inside,
              BadKey{path, fmt::format("{}{{\"{}\": ", bad.before, name), "}" + bad.after, {}, {}},
              all);
    });
  }
}

std::vector<BadKey> every_key() {
  std::vector<BadKey> all;
  collect(Config{}, Range{}, BadKey{"", "", "", {}, {}}, all);
  all.erase(all.begin());  // the whole config has no key
  return all;
}

TEST_CASE("Config: every key refuses wrong types and values out of range by its path", "[config]") {
  int numbers = 0;
  const std::vector<BadKey> keys = every_key();
  REQUIRE(keys.size() > 50);
  for (const BadKey& key : keys) {
    const auto expect = [&](const std::string& value, const std::string& what) {
      const std::string json = key.before + value + key.after;
      INFO(json);
      const std::string text = refusal(ExitCode::kUsage, [&] { parse_config(json, "c.json"); });
      INFO(text);
      CHECK(text.starts_with("c.json: line 1: " + key.path + ": "));
      CHECK(text.find(what) != std::string::npos);
      CHECK(text.find("(expected ") != std::string::npos);
      CHECK(text.find(", found ") != std::string::npos);
    };
    for (const std::string& value : key.wrong_type) {
      expect(value, value == "\"no such name\"" ? "unknown name" : "wrong type");
    }
    for (const std::string& value : key.out_of_range) expect(value, "out of range");
    numbers += key.out_of_range.empty() ? 0 : 1;
  }
  CHECK(numbers > 25);
}

// --- random configs
// -------------------------------------------------------------------------------

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : key_(derive_key(1, seed)) {}
  std::uint64_t roll(std::uint64_t sides) { return next() % sides; }
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t next() { return derive_key(key_, counter_++); }
  std::uint64_t key_, counter_ = 0;
};

double number_inside(const Range& range, Dice& dice) {
  const double low = std::isfinite(range.min) ? range.min : -1e30;
  const double high = std::isfinite(range.max) ? range.max : 1e30;
  if (dice.roll(8) == 0 && !range.above_min) return low;
  if (dice.roll(8) == 0 && !range.below_max) return high;
  const double small = std::ldexp(dice.unit() + 0x1p-53, -static_cast<int>(dice.roll(60)));
  return std::clamp(low + (high - low) * small, std::nextafter(low, high),
                    std::nextafter(high, low));
}

template <class T>
void randomise(T& field, const Range& range, Dice& dice) {
  if constexpr (std::is_same_v<T, bool>) {
    field = dice.roll(2) == 1;
  } else if constexpr (std::is_same_v<T, Index>) {
    field = static_cast<Index>(std::ceil(number_inside(range, dice)));
  } else if constexpr (std::is_same_v<T, double>) {
    field = number_inside(range, dice);
  } else if constexpr (std::is_same_v<T, Seconds>) {
    constexpr double kUnits[] = {1, 60, 3600};
    const double whole = static_cast<double>(1 + dice.roll(200)) * kUnits[dice.roll(3)];
    field.value = dice.roll(2) == 0 ? whole : number_inside(range, dice);
  } else if constexpr (std::is_same_v<T, std::string>) {
    const std::vector<std::string> parts = {
        "a",    "/", "\n", "\"", "\\", "水", "\x1b", "é", "\xf0\x9f\x99\x82",
        "null", "1", "//", ";",  "[",  "]"};
    field.clear();
    for (std::uint64_t n = dice.roll(6); n > 0; --n) field += parts[dice.roll(parts.size())];
  } else if constexpr (std::is_enum_v<T>) {
    field = enum_names<T>[dice.roll(enum_names<T>.size())].first;
  } else if constexpr (is_optional<T>) {
    field.reset();
    if (dice.roll(3) > 0) randomise(field.emplace(), range, dice);
  } else if constexpr (is_vector<T>) {
    constexpr bool needs_one = !Scalar<typename T::value_type>;
    field.resize(dice.roll(4) + (needs_one ? 1 : 0));
    for (auto& element : field) randomise(element, range, dice);
  } else {
    T::fields(field, [&](std::string_view, auto& member, const Range& inside, std::string_view) {
      randomise(member, inside, dice);
    });
  }
}

TEST_CASE("Config: parse(to_json(c)) == c for 1,000 random configs", "[config]") {
  Config previous;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Dice dice(seed);
    Config config;
    randomise(config, Range{}, dice);
    const std::string json = to_json(config);
    INFO(json);
    const Config back = parse_config(json, "random");
    REQUIRE(back == config);
    REQUIRE(to_json(back) == json);
    REQUIRE_FALSE(config == previous);
    REQUIRE_FALSE(differing_keys(config, previous).empty());
    REQUIRE(differing_keys(config, back).empty());
    previous = config;
  }
}

}  // namespace
}  // namespace sluice::config
