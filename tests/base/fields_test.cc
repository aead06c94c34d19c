#include "sluice/base/fields.h"

#include <array>
#include <catch2/catch.hpp>
#include <string_view>
#include <utility>

namespace sluice {
namespace {

// Neither in the order of their values nor without gaps.
enum class Fruit { kApple = 3, kPear = 1, kPlum = 8 };

}  // namespace

template <>
constexpr auto enum_names<Fruit> = std::array{std::pair{Fruit::kPlum, std::string_view("plum")},
                                              std::pair{Fruit::kApple, std::string_view("apple")}};

namespace {

TEST_CASE("name_of: the name listed for a value", "[base]") {
  static_assert(name_of(Fruit::kPlum) == "plum");
  CHECK(name_of(Fruit::kApple) == "apple");
  CHECK(name_of(Fruit::kPear).empty());
}

}  // namespace
}  // namespace sluice
