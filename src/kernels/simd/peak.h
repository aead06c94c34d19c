#pragma once

#include <cstddef>

#include "sluice/base/real.h"

// The loops behind kernels/machine.h, on one thread, compiled once per instruction set and chosen
// at run time.
namespace sluice::kernels::simd {

// `rounds` multiply-adds on each of some registers, x -> x sink[0] + sink[1]. Returns FLOP done;
// the values of the registers begin in `sink` and end there, so that they have to be computed.
double multiply_add(Index rounds, float* sink);
// Reads `bytes` bytes, rounded down to whole steps of the loop (at most 1 KB); `sink` as above.
void read(const std::byte* from, std::size_t bytes, float* sink);
// Of the chosen instruction set.
const char* target_name();

// Numbers that a sink has to have room for: the longest vector.
inline constexpr Index kSinkSize = 64;

}  // namespace sluice::kernels::simd
