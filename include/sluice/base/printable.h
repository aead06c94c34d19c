#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Text of unknown origin (file names, file contents, arguments) on its way into an error line.
namespace sluice {

// The same text in one line that cannot steer a terminal: control characters (C0, DEL, C1), line
// and paragraph separators and bidirectional overrides as \n, \t, \u{202e}; bytes that are not
// UTF-8 as \xff. Printable text comes back unchanged, so applying it twice does no harm.
std::string printable(std::string_view text);

// The printable text in double quotes; of more than `limit` bytes only the start and "...".
std::string quote(std::string_view text, std::size_t limit = 80);

}  // namespace sluice
