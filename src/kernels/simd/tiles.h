#pragma once

#include <cstdint>

#include "sluice/base/real.h"

// Products of bfloat16 on 16 x 16 tiles, in the forms that Intel's AMX works on. A line is 64
// bytes, 32 numbers of one row of the left operand; a tile is 16 lines. Sums are in float.
namespace sluice::kernels::simd {

using Bfloat16 = std::uint16_t;

inline constexpr Index kLine = 32;  // numbers of a line: what one step of a product sums over
inline constexpr Index kTile = 16 * kLine;  // numbers of a tile
inline constexpr Index kTilePair = 2 * kTile;

// What a product does besides, a bit after each chunk: vector work costs little next to tiles.
struct Aside {
  void (*step)(void* state, Index chunk) = nullptr;
  void* state = nullptr;
};

// out[r, 0..31] (+)= sum over chunks c, taps j, inputs i < 32 of
//   a[c * a_chunk + j * a_tap + r * 32 + i] * b[c * b_chunk + j * kTilePair + {0, kTile} +
//   (i / 2) * 32 + column * 2 + i % 2].
struct TileProduct {
  const Bfloat16* a;
  Index a_chunk, a_tap;
  const Bfloat16* b;
  Index b_chunk;
  Index chunks, taps;
  Index rows;  // that count, at most 32; some beyond may be computed
  float* out;  // [32, 32], 64-byte aligned
  bool add;    // to what stands there
  Aside aside;
};

// out[m][n][i * 16 + j] (+)= sum over steps s, rows r < 32 of
//   x[m][s * kTile + i * 32 + r] * y[n][s * kTile + (r / 2) * 32 + j * 2 + r % 2].
struct TileGradient {
  const Bfloat16* x[2];
  const Bfloat16* y[2];
  Index steps;
  float* out[2][2];  // null: not wanted
  bool add;
};

// Per step of 32: the products at even places are added up from zero, in order, by fused
// multiply-adds, those at odd places likewise, then the two sums, then that to `out`'s number
// (Intel SDM, TDPBF16PS). All kernels do it in this order and so give the same bits, where no
// number is denormal.
struct TileKernels {
  // Around any number of calls by one thread.
  void (*begin)();
  void (*end)();
  void (*product)(const TileProduct& tile);
  void (*gradient)(const TileGradient& tile);
};

// What a bfloat16 keeps of a float: its nearest (ties to even; NaN stays NaN), or the nearest to
// what that leaves over.
enum class Part : std::uint8_t { kHigh, kLow };

// From float to the operands' forms.
struct NarrowKernels {
  // Line r: low[r * 16, 16), high[r * 16, 16) (null: zeros).
  void (*lines)(const float* low, const float* high, Index rows, Part part, Bfloat16* out);
  // Of a block, rows 16 apart, 32 rows at a time: out[s][c][r] = block[32 s + r][c].
  void (*transposed)(const float* block, Index steps, Part part, Bfloat16* out);
  // out[p][c][0, 1] = block[2 p][c], block[2 p + 1][c].
  void (*row_pairs)(const float* block, Index pairs, Part part, Bfloat16* out);
  // Of a square: out[p][c][0, 1] = square[c][2 p], square[c][2 p + 1], p < 8.
  void (*column_pairs)(const float* square, Part part, Bfloat16* out);
};

// Null: this CPU, this system or this build does not have it. Asks Linux for leave to use it.
const TileKernels* find_amx_kernels();
#if defined(__x86_64__) && defined(__linux__)
// Those even so: for a CPU that a test emulates.
const TileKernels& unchecked_amx_kernels();
#endif

}  // namespace sluice::kernels::simd
