#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

// The wire format of Protocol Buffers, as much of it as a SentencePiece model needs
// (protobuf.dev/programming-guides/encoding).
namespace sluice::text {

struct WireField {
  std::uint32_t number = 0;
  enum class Kind { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 } kind = Kind::kVarint;
  std::uint64_t value = 0;  // of kVarint, kFixed64, kFixed32
  std::string_view bytes;   // of kBytes
};

// Reads the fields of one message in their order. next() gives nothing at the end and where the
// message is broken (cut, a group, a number out of range); good() tells which.
class WireReader {
 public:
  explicit WireReader(std::string_view message) : message_(message) {}
  std::optional<WireField> next();
  bool good() const { return good_; }
  std::size_t offset() const { return offset_; }

 private:
  std::optional<std::uint64_t> varint();
  std::optional<std::uint64_t> fixed(std::size_t bytes);
  bool read(WireField& field);

  std::string_view message_;
  std::size_t offset_ = 0;
  bool good_ = true;
};

}  // namespace sluice::text
