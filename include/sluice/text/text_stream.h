#pragma once

#include <string>
#include <string_view>

namespace sluice::text {

// Bytes in, whole UTF-8 characters out: what a byte model writes, made fit to print. Bytes that can
// never become a character come out as U+FFFD; the start of one waits for its rest.
class TextStream {
 public:
  // What can be printed now.
  std::string add(std::string_view bytes);

 private:
  std::string pending_;
};

}  // namespace sluice::text
