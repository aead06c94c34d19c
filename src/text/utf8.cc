#include "sluice/text/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "count_bytes.h"

namespace sluice::text {
namespace {

// What a first byte allows: length of the sequence (0: none starts so) and range of the second
// byte. The narrowed ranges shut out overlong forms, surrogates and numbers above U+10FFFF.
struct Lead {
  std::size_t length;
  unsigned char low, high;
};

Lead lead_of(unsigned char first) {
  if (first < 0x80) return {1, 0, 0};
  if (first < 0xc2) return {0, 0, 0};
  if (first < 0xe0) return {2, 0x80, 0xbf};
  if (first == 0xe0) return {3, 0xa0, 0xbf};
  if (first == 0xed) return {3, 0x80, 0x9f};
  if (first < 0xf0) return {3, 0x80, 0xbf};
  if (first == 0xf0) return {4, 0x90, 0xbf};
  if (first < 0xf4) return {4, 0x80, 0xbf};
  if (first == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

unsigned char byte_at(std::string_view bytes, std::size_t i) {
  return static_cast<unsigned char>(bytes[i]);
}

bool is_continuation(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// How many of the bytes at the start agree with `lead`, its own byte included, up to its length.
std::size_t agreeing_bytes(const Lead& lead, std::string_view bytes) {
  const std::size_t limit = std::min(lead.length, bytes.size());
  if (limit < 2) return limit;
  if (byte_at(bytes, 1) < lead.low || byte_at(bytes, 1) > lead.high) return 1;
  std::size_t i = 2;
  while (i < limit && is_continuation(byte_at(bytes, i))) ++i;
  return i;
}

// Number of leading ASCII bytes, rounded down to whole words of eight.
std::size_t ascii_words(std::string_view bytes) {
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    if ((word & 0x8080808080808080ULL) != 0) break;
  }
  return i;
}

// Length of the sequence at the start of `bytes` where its first byte alone says how the others
// must look, as in nearly all text; 0 for any other and for what is malformed.
std::size_t common_length(std::string_view bytes) {
  const unsigned char first = byte_at(bytes, 0);
  const auto continues = [&bytes](std::size_t i) {
    return i < bytes.size() && is_continuation(byte_at(bytes, i));
  };
  if (first >= 0xc2 && first < 0xe0) return continues(1) ? 2 : 0;
  if (first > 0xe0 && first < 0xf0 && first != 0xed) return continues(1) && continues(2) ? 3 : 0;
  return 0;
}

}  // namespace

std::size_t utf8_length(std::string_view bytes) {
  const Lead lead = lead_of(byte_at(bytes, 0));
  return agreeing_bytes(lead, bytes) == lead.length ? lead.length : 0;
}

std::optional<std::size_t> find_invalid_utf8(std::string_view bytes) {
  std::size_t i = 0;
  while (i < bytes.size()) {
    if (byte_at(bytes, i) < 0x80) {
      const std::size_t ascii = ascii_words(bytes.substr(i));
      i += ascii == 0 ? 1 : ascii;
      continue;
    }
    std::size_t length = common_length(bytes.substr(i));
    if (length == 0) length = utf8_length(bytes.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

std::size_t count_code_points(std::string_view bytes) {
  const char* text = bytes.data();
  return count_places(0, bytes.size(), [text](std::size_t i) {
    return static_cast<unsigned>(!is_continuation(static_cast<unsigned char>(text[i])));
  });
}

std::size_t complete_utf8_prefix(std::string_view bytes) {
  const std::size_t size = bytes.size();
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, size); ++back) {
    const std::string_view tail = bytes.substr(size - back);
    if (is_continuation(byte_at(tail, 0))) continue;
    const Lead lead = lead_of(byte_at(tail, 0));
    const bool cut = back < lead.length && agreeing_bytes(lead, tail) == back;
    return cut ? size - back : size;
  }
  return size;
}

char32_t decode_utf8(std::string_view sequence) {
  const char32_t first = byte_at(sequence, 0);
  if (sequence.size() == 1) return first;
  // A lead byte of length n carries 7 - n bits.
  char32_t code_point = first & (0x7fu >> sequence.size());
  for (const char c : sequence.substr(1)) {
    code_point = (code_point << 6) | (static_cast<unsigned char>(c) & 0x3fu);
  }
  return code_point;
}

void append_utf8(char32_t code_point, std::string& out) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
    return;
  }
  if (code_point < 0x800) {
    put(0xc0 | (code_point >> 6));
  } else {
    if (code_point < 0x10000) {
      put(0xe0 | (code_point >> 12));
    } else {
      put(0xf0 | (code_point >> 18));
      put(0x80 | ((code_point >> 12) & 0x3f));
    }
    put(0x80 | ((code_point >> 6) & 0x3f));
  }
  put(0x80 | (code_point & 0x3f));
}

}  // namespace sluice::text
