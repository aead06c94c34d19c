#pragma once

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace sluice::testing {

// A fresh directory, removed with its content at the end of the test.
class TempDir {
 public:
  TempDir() {
    path_ = (std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  // A plain write for tests that make many files. Into a new file: some file systems flush one that
  // was truncated. Returns the path.
  std::string write(const std::string& name, const std::string& content) const {
    std::filesystem::remove(path_ + "/" + name);
    std::ofstream file(path_ + "/" + name, std::ios::binary);
    file << content << std::flush;
    if (!file) throw std::runtime_error("cannot write " + name);
    return path_ + "/" + name;
  }

  // Sorted names of everything in the directory or one below it.
  std::vector<std::string> names(const std::string& below = "") const {
    std::vector<std::string> result;
    for (const auto& entry : std::filesystem::directory_iterator(path_ + "/" + below)) {
      result.push_back(entry.path().filename().string());
    }
    std::sort(result.begin(), result.end());
    return result;
  }

 private:
  std::string path_;
};

}  // namespace sluice::testing
