#include "sluice/base/printable.h"

#include <fmt/format.h>

#include <iterator>

namespace sluice {
namespace {

struct CodePoint {
  char32_t value;
  std::size_t length;  // bytes; 0: not UTF-8
};

// Decodes the sequence at the start of `text`, which is not empty.
CodePoint decode(std::string_view text) {
  constexpr CodePoint kInvalid{0, 0};
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return kInvalid;
  char32_t value = static_cast<char32_t>(lead & (0x7f >> length));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return kInvalid;
    value = (value << 6) | static_cast<char32_t>(byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  return overlong || surrogate || value > 0x10ffff ? kInvalid : CodePoint{value, length};
}

bool steers_a_terminal(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  auto out = std::back_inserter(result);
  while (!text.empty()) {
    const CodePoint c = decode(text);
    const std::size_t length = c.length == 0 ? 1 : c.length;
    if (c.length == 0) {
      fmt::format_to(out, "\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (!steers_a_terminal(c.value)) {
      result += text.substr(0, length);
    } else if (c.value == '\n') {
      result += "\\n";
    } else if (c.value == '\t') {
      result += "\\t";
    } else if (c.value == '\r') {
      result += "\\r";
    } else {
      fmt::format_to(out, "\\u{{{:x}}}", static_cast<unsigned>(c.value));
    }
    text.remove_prefix(length);
  }
  return result;
}

std::string quote(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return '"' + printable(text) + '"';
  // A cut must not tear a character: step back over continuation bytes.
  std::size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return '"' + printable(text.substr(0, end)) + "...\"";
}

}  // namespace sluice
