#pragma once

#include <string>

namespace sluice {

// What creating files in a directory would meet, without creating anything: Error kOutput when
// `directory`, or the nearest parent that exists, is not a directory or may not be written to. A
// full disk shows only when it is written to.
void check_creatable(const std::string& directory);

// A new directory where the system keeps temporary files ($TMPDIR, else /tmp), removed at the end
// with all it holds; files in it that are open then can be read on. Error kOutput.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace sluice
