#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::text {

// Remembers of regular files what a change leaves a mark on (size, time of modification, inode), so
// that a change is noticed without reading them again.
class FileStamps {
 public:
  explicit FileStamps(const std::vector<std::string>& files);

  // Which of them changed since then, are gone or were replaced, each told once.
  std::vector<std::string> changed();

 private:
  struct Stamp {
    std::uint64_t inode = 0;
    std::int64_t size = -1, seconds = 0, nanoseconds = 0;  // size -1: there is none
    bool operator==(const Stamp&) const = default;
  };
  struct File {
    std::string name;
    Stamp stamp;
    bool told = false;
  };
  static Stamp stamp_of(const std::string& file);

  std::vector<File> files_;
};

}  // namespace sluice::text
