// Products of bfloat16 on the tiles of Intel's AMX. Instructions are written as assembly: tiles are
// no registers to the compiler, and GCC 12's own functions do not tell it what memory they read.
#include "src/kernels/simd/tiles.h"

#if defined(__x86_64__) && defined(__linux__)
#define SLUICE_HAS_AMX 1
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#define SLUICE_HAS_AMX 0
#endif

namespace sluice::kernels::simd {

#if SLUICE_HAS_AMX

// clang assembles them only in functions for such a CPU.
#define SLUICE_AMX [[gnu::target("amx-tile,amx-bf16")]]

namespace {

// Intel SDM, LDTILECFG.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
constexpr TileConfig kConfig;

SLUICE_AMX void begin() { asm volatile("ldtilecfg %0" : : "m"(kConfig) : "memory"); }
SLUICE_AMX void end() { asm volatile("tilerelease" : : : "memory"); }

// Of 16 rows, `pitch` numbers apart.
template <int kTo, class T>
SLUICE_AMX [[gnu::always_inline]] inline void load(const T* from, Index pitch) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2"
               :
               : "r"(from), "r"(pitch * static_cast<Index>(sizeof(T))), "i"(kTo)
               : "memory");
}
template <int kTo>
SLUICE_AMX [[gnu::always_inline]] inline void load_line_tile(const Bfloat16* from) {
  load<kTo>(from, kLine);
}
// From null: zeros.
template <int kTo>
SLUICE_AMX [[gnu::always_inline]] inline void load_sums(const float* from, Index pitch) {
  if (from != nullptr) {
    load<kTo>(from, pitch);
  } else {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTo));
  }
}
// To null: not at all.
template <int kFrom>
SLUICE_AMX [[gnu::always_inline]] inline void store_sums(float* to, Index pitch) {
  if (to == nullptr) return;
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)"
               :
               : "r"(to), "r"(pitch * static_cast<Index>(sizeof(float))), "i"(kFrom)
               : "memory");
}
template <int kSum, int kA, int kB>
SLUICE_AMX [[gnu::always_inline]] inline void multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
}

// Tiles 0, 1, 2, 3: sums of rows 0 to 15 by columns 0 to 15 and 16 to 31, then of rows 16 to 31
// (only if kFull). Loads stand between products, which take as long.
template <bool kFull>
SLUICE_AMX void multiply_rows(const TileProduct& tile) {
  constexpr Index kPitch = 32, kBelow = 16 * kPitch, kBeside = 16;
  float* out = tile.out;
  const float* start = tile.add ? out : nullptr;
  load_sums<0>(start, kPitch);
  load_sums<1>(start ? start + kBeside : nullptr, kPitch);
  if constexpr (kFull) {
    load_sums<2>(start ? start + kBelow : nullptr, kPitch);
    load_sums<3>(start ? start + kBelow + kBeside : nullptr, kPitch);
  }
  const Index chunks = tile.chunks, taps = tile.taps, a_tap = tile.a_tap;
  const Aside aside = tile.aside;
  for (Index chunk = 0; chunk < chunks; ++chunk) {
    const Bfloat16* a = tile.a + chunk * tile.a_chunk;
    const Bfloat16* b = tile.b + chunk * tile.b_chunk;
    for (Index tap = 0; tap < taps; ++tap) {
      load_line_tile<6>(b);
      load_line_tile<4>(a);
      multiply<0, 4, 6>();
      load_line_tile<7>(b + kTile);
      multiply<1, 4, 7>();
      if constexpr (kFull) {
        load_line_tile<5>(a + kTile);
        multiply<2, 5, 6>();
        multiply<3, 5, 7>();
      }
      a += a_tap;
      b += kTilePair;
    }
    if (aside.step != nullptr) aside.step(aside.state, chunk);
  }
  store_sums<0>(out, kPitch);
  store_sums<1>(out + kBeside, kPitch);
  if constexpr (kFull) {
    store_sums<2>(out + kBelow, kPitch);
    store_sums<3>(out + kBelow + kBeside, kPitch);
  }
}

void product(const TileProduct& tile) {
  tile.rows <= 16 ? multiply_rows<false>(tile) : multiply_rows<true>(tile);
}

// kX, kY: bits of the operands that a wanted square needs.
template <int kX, int kY>
SLUICE_AMX void add_steps(const TileGradient& tile) {
  const Bfloat16 *x0 = tile.x[0], *x1 = tile.x[1], *y0 = tile.y[0], *y1 = tile.y[1];
  const Index end = tile.steps * kTile;
  for (Index at = 0; at < end; at += kTile) {
    if constexpr ((kY & 1) != 0) load_line_tile<6>(y0 + at);
    if constexpr ((kX & 1) != 0) load_line_tile<4>(x0 + at);
    if constexpr ((kX & 1) != 0 && (kY & 1) != 0) multiply<0, 4, 6>();
    if constexpr ((kY & 2) != 0) load_line_tile<7>(y1 + at);
    if constexpr ((kX & 1) != 0 && (kY & 2) != 0) multiply<1, 4, 7>();
    if constexpr ((kX & 2) != 0) load_line_tile<5>(x1 + at);
    if constexpr ((kX & 2) != 0 && (kY & 1) != 0) multiply<2, 5, 6>();
    if constexpr ((kX & 2) != 0 && (kY & 2) != 0) multiply<3, 5, 7>();
  }
}

SLUICE_AMX void gradient(const TileGradient& tile) {
  constexpr void (*kSteps[3][3])(const TileGradient&) = {
      {add_steps<1, 1>, add_steps<1, 2>, add_steps<1, 3>},
      {add_steps<2, 1>, add_steps<2, 2>, add_steps<2, 3>},
      {add_steps<3, 1>, add_steps<3, 2>, add_steps<3, 3>}};
  const auto& out = tile.out;
  const auto any = [](const float* first, const float* second) {
    return first != nullptr || second != nullptr ? 1 : 0;
  };
  const int x = any(out[0][0], out[0][1]) + 2 * any(out[1][0], out[1][1]);
  const int y = any(out[0][0], out[1][0]) + 2 * any(out[0][1], out[1][1]);
  if (x == 0) return;
  load_sums<0>(tile.add ? out[0][0] : nullptr, 16);
  load_sums<1>(tile.add ? out[0][1] : nullptr, 16);
  load_sums<2>(tile.add ? out[1][0] : nullptr, 16);
  load_sums<3>(tile.add ? out[1][1] : nullptr, 16);
  kSteps[x - 1][y - 1](tile);
  store_sums<0>(out[0][0], 16);
  store_sums<1>(out[0][1], 16);
  store_sums<2>(out[1][0], 16);
  store_sums<3>(out[1][1], 16);
}

constexpr TileKernels kAmx = {.begin = begin, .end = end, .product = product, .gradient = gradient};

// Intel SDM, CPUID leaves 1 and 7, and XGETBV: the system keeps tiles over a switch of threads.
bool has_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kOsxsave = 1U << 27, kBfloat16Products = 1U << 22, kTiles = 1U << 24;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kOsxsave) == 0) return false;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  if ((d & kBfloat16Products) == 0 || (d & kTiles) == 0) return false;
  constexpr unsigned kConfigAndData = 3U << 17;
  unsigned low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & kConfigAndData) == kConfigAndData;
}

// Since Linux 5.16, of a whole process at once (Documentation/arch/x86/xstate.rst).
bool may_use_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

const TileKernels& unchecked_amx_kernels() { return kAmx; }

const TileKernels* find_amx_kernels() {
  static const TileKernels* const found = has_tiles() && may_use_tiles() ? &kAmx : nullptr;
  return found;
}

#else

const TileKernels* find_amx_kernels() { return nullptr; }

#endif

}  // namespace sluice::kernels::simd
