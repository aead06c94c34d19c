#include "protobuf.h"

namespace sluice::text {

std::optional<std::uint64_t> WireReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (offset_ == message_.size()) return std::nullopt;
    const auto byte = static_cast<unsigned char>(message_[offset_++]);
    value |= static_cast<std::uint64_t>(byte & 0x7fu) << shift;
    if (byte < 0x80) return shift == 63 && byte > 1 ? std::nullopt : std::optional(value);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> WireReader::fixed(std::size_t bytes) {
  if (message_.size() - offset_ < bytes) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(message_[offset_ + i]))
             << (8 * i);
  }
  offset_ += bytes;
  return value;
}

bool WireReader::read(WireField& field) {
  const std::optional<std::uint64_t> key = varint();
  if (!key || *key >> 32 != 0 || *key >> 3 == 0) return false;
  field.number = static_cast<std::uint32_t>(*key >> 3);
  field.kind = static_cast<WireField::Kind>(*key & 7);
  std::optional<std::uint64_t> value;
  switch (field.kind) {
    case WireField::Kind::kVarint:
      value = varint();
      break;
    case WireField::Kind::kFixed64:
      value = fixed(8);
      break;
    case WireField::Kind::kFixed32:
      value = fixed(4);
      break;
    case WireField::Kind::kBytes:
      value = varint();
      if (!value || *value > message_.size() - offset_) return false;
      field.bytes = message_.substr(offset_, static_cast<std::size_t>(*value));
      offset_ += static_cast<std::size_t>(*value);
      break;
    default:
      return false;
  }
  if (!value) return false;
  field.value = *value;
  return true;
}

std::optional<WireField> WireReader::next() {
  if (!good_ || offset_ == message_.size()) return std::nullopt;
  WireField field;
  good_ = read(field);
  return good_ ? std::optional(field) : std::nullopt;
}

}  // namespace sluice::text
