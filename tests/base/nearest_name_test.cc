#include "sluice/base/nearest_name.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

namespace sluice {
namespace {

const std::vector<std::string_view> kKeys = {"dropout",   "gate",     "norm",
                                             "max_steps", "max_time", "lr"};

std::string nearest(std::string_view name) {
  return std::string(nearest_name(name, kKeys).value_or("none"));
}

TEST_CASE("nearest_name: one slip of each kind is forgiven", "[base]") {
  CHECK(nearest("droput") == "dropout");       // missing
  CHECK(nearest("dropoutt") == "dropout");     // added
  CHECK(nearest("drupout") == "dropout");      // wrong
  CHECK(nearest("dorpout") == "dropout");      // swapped
  CHECK(nearest("gaet") == "gate");            // a swap is one slip, not two
  CHECK(nearest("Max-Steps") == "max_steps");  // case and dashes are none
}

TEST_CASE("nearest_name: the nearest wins, and far names get nothing", "[base]") {
  CHECK(nearest("max_stime") == "max_time");
  CHECK(nearest("embedding") == "none");
  CHECK(nearest("x") == "none");
  CHECK(nearest("") == "none");
  CHECK(nearest("xy") == "none");
  CHECK(nearest("ln") == "lr");
}

TEST_CASE("nearest_name: a beginning stands for the whole, from three letters on", "[base]") {
  CHECK(nearest("max") == "max_steps");
  CHECK(nearest("drop") == "dropout");
  CHECK(nearest("ma") == "none");
}

TEST_CASE("nearest_name: a hostile length costs nothing", "[base]") {
  CHECK(nearest(std::string(10'000'000, 'd')) == "none");
}

TEST_CASE("did_you_mean: is a hint or nothing", "[base]") {
  CHECK(did_you_mean("gat", kKeys) == "; did you mean \"gate\"?");
  CHECK(did_you_mean("zebra", kKeys).empty());
  CHECK(comma_separated(std::vector<std::string_view>{"a", "b"}) == "a, b");
}

}  // namespace
}  // namespace sluice
