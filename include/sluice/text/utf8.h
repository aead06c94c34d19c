#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::text {

// Length in bytes of the well-formed UTF-8 sequence at the start of `bytes` (Unicode 15, table 3-7:
// no overlong form, no surrogate, nothing above U+10FFFF); 0 when malformed or cut; `bytes` not
// empty.
std::size_t utf8_length(std::string_view bytes);

// Offset of the first byte that does not start a well-formed sequence; nothing when all is well.
std::optional<std::size_t> find_invalid_utf8(std::string_view bytes);

// Number of code points in well-formed text.
std::size_t count_code_points(std::string_view bytes);

// Length of the longest prefix that does not end inside a sequence which more bytes could complete:
// what a stream may print now.
std::size_t complete_utf8_prefix(std::string_view bytes);

// The code point of one well-formed sequence, and its way back; surrogates are the caller's error.
char32_t decode_utf8(std::string_view sequence);
void append_utf8(char32_t code_point, std::string& out);

}  // namespace sluice::text
