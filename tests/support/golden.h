#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sluice/base/real.h"
#include "tests/support/source_dir.h"

namespace sluice::testing {

// Named arrays from tests/golden/NAME.json.
class Golden {
 public:
  explicit Golden(const std::string& name) {
    std::ifstream file(source_dir() + "/tests/golden/" + name + ".json");
    root_ = nlohmann::json::parse(file);
  }
  bool contains(const std::string& name) const { return root_.contains(name); }
  std::vector<Index> shape(const std::string& name) const {
    return root_.at(name).at("shape").get<std::vector<Index>>();
  }
  template <class T = Real>
  std::vector<T> values(const std::string& name) const {
    return root_.at(name).at("data").get<std::vector<T>>();
  }
  double scalar(const std::string& name) const { return values<double>(name).at(0); }
  // Names that start with `prefix`, without it.
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const auto& [name, array] : root_.items()) {
      if (name.starts_with(prefix)) found.push_back(name.substr(prefix.size()));
    }
    return found;
  }

 private:
  nlohmann::json root_;
};

}  // namespace sluice::testing
