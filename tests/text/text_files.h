#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/error.h"
#include "tests/support/error_check.h"
#include "tests/support/temp_dir.h"

// Files for the tests of the text layer.
namespace sluice::text::testing {

// A folder of its own, gone with its content at the end.
class ScratchFolder {
 public:
  std::string path(const std::string& name) const { return folder_ / name; }
  std::string write(const std::string& name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
  std::vector<std::string> names(const std::string& below = "") const {
    return folder_.names(below);
  }

 private:
  sluice::testing::TempDir folder_;
};

inline std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

using sluice::testing::check_error;

// Corpora too large for the source tree: a folder named by SLUICE_CORPORA, empty without it.
inline std::string corpora_folder() {
  const char* folder = std::getenv("SLUICE_CORPORA");
  if (folder == nullptr) WARN("skipped: SLUICE_CORPORA is not set");
  return folder == nullptr ? "" : folder;
}

}  // namespace sluice::text::testing
