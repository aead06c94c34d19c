#include "sluice/text/file_stamps.h"

#include <sys/stat.h>

namespace sluice::text {

FileStamps::FileStamps(const std::vector<std::string>& files) {
  for (const std::string& file : files) files_.push_back({file, stamp_of(file)});
}

std::vector<std::string> FileStamps::changed() {
  std::vector<std::string> names;
  for (File& file : files_) {
    if (file.told || stamp_of(file.name) == file.stamp) continue;
    file.told = true;
    names.push_back(file.name);
  }
  return names;
}

FileStamps::Stamp FileStamps::stamp_of(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return {};
  return {info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

}  // namespace sluice::text
