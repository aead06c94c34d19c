#include "src/kernels/simd/digits.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <bit>
#include <limits>

#define SLUICE_VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

namespace sluice::kernels::simd {
namespace {

constexpr float kLargest = 8388600;  // what rounding adds to it still fits 24 bits
// Of a row of smaller numbers only zeros are left, but no infinite factor.
constexpr float kLeast = 1e-30F;

SLUICE_VNNI float split(const float* row, Index pitch, Index blocks, QuadDigits* x, Index x_pitch) {
  // As whole numbers, so that a NaN is the largest.
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i largest = _mm512_setzero_si512();
  for (Index block = 0; block < blocks; ++block) {
    const __m512i bits = _mm512_castps_si512(_mm512_loadu_ps(row + block * pitch));
    largest = _mm512_max_epu32(largest, _mm512_and_si512(bits, magnitude));
  }
  const float max = std::bit_cast<float>(_mm512_reduce_max_epu32(largest));
  const bool finite = max <= std::numeric_limits<float>::max();
  const float range = finite && max > kLeast ? max : kLeast;
  const __m512 factor = _mm512_set1_ps(kLargest / range);
  const __m512i middle = _mm512_set1_epi32(1 << 23);
  // Of four numbers side by side: first all lowest bytes, then the middle ones, then the upper.
  const __m512i digits =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, -1, -1, -1, -1));
  for (Index block = 0; block < blocks; ++block) {
    const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(row + block * pitch), factor);
    const __m512i number = _mm512_add_epi32(_mm512_cvtps_epi32(scaled), middle);
    const __m512i quads = _mm512_shuffle_epi8(number, digits);
    QuadDigits* to = x + block * (kBlock / kQuad) * x_pitch;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_extracti32x4_epi32(quads, 0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + x_pitch), _mm512_extracti32x4_epi32(quads, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * x_pitch),
                     _mm512_extracti32x4_epi32(quads, 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 3 * x_pitch),
                     _mm512_extracti32x4_epi32(quads, 3));
  }
  return finite ? range / kLargest : std::numeric_limits<float>::quiet_NaN();
}

// The 16 columns of a half: what the upper digits are too large by is taken off while all is whole.
SLUICE_VNNI inline void finish(const DigitTile& tile, Index row, Index half, const __m512i* sums) {
  const __m512i surplus = _mm512_loadu_si512(tile.column_sums + half * kBlock);
  __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[1]), _mm512_set1_ps(256),
                               _mm512_cvtepi32_ps(sums[0]));
  sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums[2], surplus)),
                        _mm512_set1_ps(65536), sum);
  sum = _mm512_mul_ps(sum, _mm512_set1_ps(tile.steps[row]));
  sum = _mm512_mul_ps(sum, _mm512_loadu_ps(tile.scales + half * kBlock));
  _mm512_storeu_ps(tile.out + row * kPanel + half * kBlock, sum);
}

// Rows [row, row + kRows). Loops over registers must be unrolled completely (product-inl.h).
template <int kRows>
SLUICE_VNNI __attribute__((noinline)) void multiply_rows(const DigitTile& tile, Index row) {
  constexpr Index kLine = 64, kAhead = 64 * kLine;
  __m512i sums[kRows][2][3];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) sums[r][i / 3][i % 3] = _mm512_setzero_si512();
  }
  const std::int8_t* b = tile.b;
  const QuadDigits* x = tile.x + row;
  for (Index quad = 0; quad < tile.quads; ++quad) {
    _mm_prefetch(reinterpret_cast<const char*>(b + kAhead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(b + kAhead + kLine), _MM_HINT_T0);
    const __m512i first = _mm512_loadu_si512(b), second = _mm512_loadu_si512(b + kLine);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        const __m512i digit = _mm512_set1_epi32(static_cast<int>(x[r].digits[i]));
        sums[r][0][i] = _mm512_dpbusd_epi32(sums[r][0][i], digit, first);
        sums[r][1][i] = _mm512_dpbusd_epi32(sums[r][1][i], digit, second);
      }
    }
    b += 2 * kLine;
    x += tile.x_pitch;
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    finish(tile, row + r, 0, sums[r][0]);
    finish(tile, row + r, 1, sums[r][1]);
  }
}

void product(const DigitTile& tile) {
  Index row = 0;
  for (; tile.rows - row >= 4; row += 4) multiply_rows<4>(tile, row);
  switch (tile.rows - row) {
    case 1:
      return multiply_rows<1>(tile, row);
    case 2:
      return multiply_rows<2>(tile, row);
    case 3:
      return multiply_rows<3>(tile, row);
    default:
      return;
  }
}

constexpr DigitKernels kKernels = {.split = split, .product = product};

}  // namespace

const DigitKernels* find_digit_kernels(InstructionSet set) {
  const bool runs = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw");
  return set == InstructionSet::kAvx512 && runs ? &kKernels : nullptr;
}

}  // namespace sluice::kernels::simd

#else

namespace sluice::kernels::simd {

const DigitKernels* find_digit_kernels(InstructionSet) { return nullptr; }

}  // namespace sluice::kernels::simd

#endif
