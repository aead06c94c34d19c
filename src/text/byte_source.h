#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace sluice::text {

// How a text is called in messages.
std::string display_name(const std::string& file);
// Error kNoInput: "FILE: cannot OPERATION (expected text, found: ERROR)".
[[noreturn]] void throw_unreadable(const std::string& file, const char* operation, int error);

// The bytes of a file, or with "-" of standard input, once from the start; gzip files, known by
// their first bytes, come unpacked. Pipes are welcome, which the InputFile of the file layer
// refuses.
class ByteSource {
 public:
  explicit ByteSource(const std::string& file);  // Error kNoInput
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // Next bytes; none at the end. A block is full unless it is the last: what is made of the text
  // must not depend on how a pipe hands it over. Error kNoInput; kBadData for a damaged gzip file
  // and for one that changed while it was read.
  std::string_view next();
  bool packed() const;
  // Bytes of the file itself, packed as it may be, that were read so far.
  std::uint64_t read() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::text
