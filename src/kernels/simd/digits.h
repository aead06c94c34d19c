#pragma once

#include <cstdint>

#include "src/kernels/simd/kernels.h"

// Products of int8 weights with rows of floats in whole numbers, by an instruction that multiplies
// 64 pairs of bytes (VNNI): to make floats of the weights would take longer than to read them. A
// row is written in 24 bits and these as three digits of 8:
//
//   x = step * (d2 2^16 + d1 2^8 + d0 - 2^23),   step = max |x| / (2^23 - 8)
//
// so each number loses about what a float of its row's largest size does. Sums of digits
// times weights are exact, and so of the same bits in any order; floats begin with their sum.
namespace sluice::kernels::simd {

inline constexpr Index kQuad = 4;  // inputs that the instruction sums over

// Of the inputs of a quad digit after digit, that of the first input in the lowest byte; the last
// is not used.
struct QuadDigits {
  std::uint32_t digits[4];
};

// Sums stay below 2^31.
inline constexpr Index kMostDigitInputs = 65536;

// out[r, 0..31] = steps[r] * scales * sum over inputs i of x[r, i] * b[i / 4][column][i % 4].
struct DigitTile {
  const QuadDigits* x;  // [quads][x_pitch]
  Index x_pitch;
  const float* steps;
  const std::int8_t* b;
  Index quads;
  Index rows;
  const float* scales;              // of the columns
  const std::int32_t* column_sums;  // of the weights, times 128
  float* out;                       // [rows, 32]
};

struct DigitKernels {
  // A row of blocks of 16 floats, `pitch` apart, to quads x_pitch apart; returns its step: NaN
  // where one of its numbers is not finite.
  float (*split)(const float* row, Index pitch, Index blocks, QuadDigits* x, Index x_pitch);
  void (*product)(const DigitTile& tile);
};

// Beside those of a set; null: this CPU or this build does not have the instruction, or it is not
// of the set.
const DigitKernels* find_digit_kernels(InstructionSet set);

}  // namespace sluice::kernels::simd
