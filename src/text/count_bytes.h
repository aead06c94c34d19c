#pragma once

#include <cstddef>

namespace sluice::text {

// The number of places i in [begin, end) for which holds(i) is 1, not 0. One plain loop: g++ 12 at
// -O3 gets sums in bytes over blocks of 16 wrong.
template <class Holds>
std::size_t count_places(std::size_t begin, std::size_t end, const Holds& holds) {
  std::size_t count = 0;
  for (std::size_t i = begin; i < end; ++i) count += static_cast<std::size_t>(holds(i));
  return count;
}

}  // namespace sluice::text
