#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::text {

// The number of places i in [begin, end) for which holds(i) is 1, not 0. In blocks of a fixed
// length, which compilers turn into vector instructions.
template <class Holds>
std::size_t count_places(std::size_t begin, std::size_t end, const Holds& holds) {
  std::size_t count = 0;
  const auto take_blocks = [&]<std::size_t kLength>() {
    for (; begin + kLength <= end; begin += kLength) {
      std::uint8_t in_block = 0;
      for (std::size_t i = 0; i < kLength; ++i) {
        in_block = static_cast<std::uint8_t>(in_block + holds(begin + i));
      }
      count += in_block;
    }
  };
  take_blocks.template operator()<64>();
  take_blocks.template operator()<16>();
  for (; begin < end; ++begin) count += holds(begin);
  return count;
}

}  // namespace sluice::text
