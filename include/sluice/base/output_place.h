#pragma once

#include <string>

namespace sluice {

// What creating files in a directory would meet, without creating anything: Error kOutput when
// `directory`, or the nearest parent that exists, is not a directory or may not be written to. A
// full disk shows only when it is written to.
void check_creatable(const std::string& directory);

// The same for one file in a directory that exists, as AtomicFile (base/file.h) writes it: Error
// kOutput also when `path` is there and is no regular file.
void check_replaceable(const std::string& path);

// Where the system keeps temporary files: $TMPDIR, else /tmp.
std::string temporary_directory();

// A new file in temporary_directory() that has no name there, so that it goes with whoever has it
// open, however the process ends. Error kOutput.
class TemporaryFile {
 public:
  TemporaryFile();
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int descriptor() const { return descriptor_; }
  // By which this process can open it again, as long as it lives.
  std::string path() const;

 private:
  int descriptor_ = -1;
};

}  // namespace sluice
