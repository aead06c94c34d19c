#pragma once

#include <cstdint>
#include <functional>

#include "sluice/text/token_file.h"

namespace sluice::text {

// Shows `line` the tokens [begin, end) of each line in order, </s> included, until it returns
// false; returns whether it saw all. Error kBadData when the line starts do not ascend from 0 to
// the end of the file, naming the line.
bool each_line(const TokenFile& tokens,
               const std::function<bool(std::uint64_t begin, std::uint64_t end)>& line);

// Tokens of the longest line. Errors as above.
std::uint64_t longest_line(const TokenFile& tokens);

}  // namespace sluice::text
