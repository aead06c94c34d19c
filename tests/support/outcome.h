#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "sluice/nn/parameter.h"
#include "tests/support/compare.h"
#include "tests/support/tiny_model.h"

namespace sluice::testing {

// For float backends that add in different orders. A sum of n products is off by at most n * 2^-24
// of the sum of their magnitudes, and twice that between two backends; the sums of the tests have
// at most 160 terms, 160 * 2^-23 = 1.9e-5 of it. Numbers are compared to the largest of their
// array. (Errors add like a random walk, so what is seen is 1e-7 to 2e-6; a wrong term shows as
// 1e-3 or more.)
inline constexpr double kFloatTolerance = 2e-5;

// What operations on one backend left behind, part by part, to compare with another's.
struct Outcome {
  std::vector<std::pair<std::string, std::vector<Real>>> parts;

  void add(const std::string& name, std::vector<Real> values) {
    parts.emplace_back(name, std::move(values));
  }
  void add(const std::string& name, std::span<const double> values) {
    std::vector<Real> rounded;
    for (const double value : values) rounded.push_back(static_cast<Real>(value));
    add(name, std::move(rounded));
  }
  void add(const std::string& name, double value) { add(name, std::span(&value, 1)); }
  // One array of every parameter.
  void add(const std::string& name, const nn::ParameterStore& store, kernels::Array array) {
    for (const nn::Parameter& parameter : store.parameters()) {
      add(name + " of " + parameter.name, read_parameter(store, parameter.name, array));
    }
  }
  bool operator==(const Outcome&) const = default;
};

inline void check_close(const Outcome& actual, const Outcome& expected,
                        double tolerance = kFloatTolerance) {
  REQUIRE(actual.parts.size() == expected.parts.size());
  for (std::size_t i = 0; i < expected.parts.size(); ++i) {
    const auto& [name, values] = expected.parts[i];
    INFO(name);
    REQUIRE(actual.parts[i].first == name);
    CHECK(relative_difference(actual.parts[i].second, values) <= tolerance);
  }
}

}  // namespace sluice::testing
