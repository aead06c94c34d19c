// Products of bfloat16 on tiles, bit for bit against scalar loops in the stated order.
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "src/kernels/simd/tiles.h"
#include "tests/support/amx_emulator.h"
#include "tests/support/simd_kernels.h"
#include "tests/support/tiny_model.h"

namespace sluice::kernels::simd {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kOut = 32 * 32;

float widen(Bfloat16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16); }

std::vector<Bfloat16> operand(Index size, std::uint64_t seed) {
  std::vector<Bfloat16> all;
  for (const float x : testing::normal_values(static_cast<std::size_t>(size), seed, 1)) {
    all.push_back(static_cast<Bfloat16>(std::bit_cast<std::uint32_t>(x) >> 16));
  }
  return all;
}

// 64-byte aligned.
struct alignas(64) Out {
  explicit Out(bool add) {
    const std::vector<float> start = testing::normal_values(kOut, 9, 3);
    for (std::size_t i = 0; i < kOut; ++i) numbers[i] = add ? start[i] : kNaN;
  }
  float numbers[kOut];
};

// start + the sum of 32 products a(i) * b(i), as a step makes it.
template <class A, class B>
float add_step(float start, const A& a, const B& b) {
  float parts[2] = {0, 0};
  for (Index i = 0; i < kLine; ++i) parts[i % 2] = std::fma(widen(a(i)), widen(b(i)), parts[i % 2]);
  const float sum = parts[0] + parts[1];
  return start + sum;
}

float expected_product(const TileProduct& tile, float start, Index r, Index column) {
  for (Index c = 0; c < tile.chunks; ++c) {
    for (Index j = 0; j < tile.taps; ++j) {
      const Bfloat16* a = tile.a + c * tile.a_chunk + j * tile.a_tap + r * kLine;
      const Bfloat16* b = tile.b + c * tile.b_chunk + j * kTilePair + column / 16 * kTile;
      start = add_step(
          start, [&](Index i) { return a[i]; },
          [&](Index i) { return b[i / 2 * 32 + column % 16 * 2 + i % 2]; });
    }
  }
  return start;
}

float expected_gradient(const TileGradient& tile, int m, int n, float start, Index at) {
  for (Index s = 0; s < tile.steps; ++s) {
    const Bfloat16 *x = tile.x[m] + s * kTile, *y = tile.y[n] + s * kTile;
    start = add_step(
        start, [&](Index r) { return x[at / 16 * kLine + r]; },
        [&](Index r) { return y[r / 2 * 32 + at % 16 * 2 + r % 2]; });
  }
  return start;
}

// All kernels that this machine can run, by name.
template <class Visit>
void with_tiles(const Visit& visit) {
  for (const Kernels* kernels : testing::simd_kernels()) {
    INFO("vectors, set " << static_cast<int>(kernels->set));
    visit(kernels->tiles);
  }
#if SLUICE_TESTS_EMULATE_AMX
  find_amx_kernels();
  const testing::AmxEmulator emulator;
  INFO("AMX, emulated: " << emulator.is_needed());
  visit(unchecked_amx_kernels());
#endif
}

void check_product(const TileKernels& kernels, Index rows, Index chunks, Index taps, bool add) {
  // Windows that overlap, as those of a convolution, and gaps between chunks.
  constexpr Index kAChunk = (32 + 8) * kLine;
  const std::vector<Bfloat16> a = operand(chunks * kAChunk + taps * kLine, 1);
  const Index b_chunk = taps * kTilePair + kTile;
  const std::vector<Bfloat16> b = operand(chunks * b_chunk, 2);
  Out out(add);
  const Out before(add);
  const TileProduct tile{.a = a.data(),
                         .a_chunk = kAChunk,
                         .a_tap = kLine,
                         .b = b.data(),
                         .b_chunk = b_chunk,
                         .chunks = chunks,
                         .taps = taps,
                         .rows = rows,
                         .out = out.numbers,
                         .add = add,
                         .aside = {}};
  kernels.product(tile);
  Index wrong = 0;
  for (Index i = 0; i < rows * 32; ++i) {
    const float start = add ? before.numbers[i] : 0;
    if (out.numbers[i] != expected_product(tile, start, i / 32, i % 32)) ++wrong;
  }
  INFO(rows << " rows, " << chunks << " chunks, " << taps << " taps, add " << add);
  CHECK(wrong == 0);
  // Without comparing NaNs.
  if (rows <= 16) {
    CHECK(std::memcmp(&out.numbers[kOut / 2], &before.numbers[kOut / 2], kOut / 2 * 4) == 0);
  }
}

TEST_CASE("tiles: a product has the bits of scalar loops, at any rows, set and added",
          "[kernels]") {
  with_tiles([](const TileKernels& kernels) {
    kernels.begin();
    for (Index rows = 1; rows <= 32; ++rows) check_product(kernels, rows, 2, 1, rows % 2 == 0);
    for (const bool add : {false, true}) {
      for (const Index taps : {1, 2, 5}) check_product(kernels, 32, 3, taps, add);
      check_product(kernels, 16, 7, 4, add);
    }
    kernels.end();
  });
}

TEST_CASE("tiles: a product's other work is called once per chunk, in order", "[kernels]") {
  const std::vector<Bfloat16> a = operand(4 * 40 * kLine, 1), b = operand(4 * 2 * kTilePair, 2);
  Out out(false);
  TileProduct tile{a.data(), 40 * kLine,  kLine, b.data(), 2 * kTilePair, 4, 2,
                   32,       out.numbers, false, {}};
  std::vector<Index> seen;
  tile.aside.step = [](void* state, Index chunk) {
    static_cast<std::vector<Index>*>(state)->push_back(chunk);
  };
  tile.aside.state = &seen;
  with_tiles([&](const TileKernels& kernels) {
    seen.clear();
    kernels.begin();
    kernels.product(tile);
    kernels.end();
    CHECK(seen == std::vector<Index>{0, 1, 2, 3});
    CHECK(out.numbers[77] == expected_product(tile, 0, 2, 13));
  });
}

// wanted: bit 2 * m + n, whether square m, n is.
void check_gradient(const TileKernels& kernels, Index steps, unsigned wanted, bool add) {
  const std::vector<Bfloat16> x = operand(2 * steps * kTile, 3), y = operand(2 * steps * kTile, 4);
  Out out(add);
  const Out before(true);
  TileGradient tile{.x = {x.data(), x.data() + steps * kTile},
                    .y = {y.data(), y.data() + steps * kTile},
                    .steps = steps,
                    .out = {},
                    .add = add};
  for (unsigned square = 0; square < 4; ++square) {
    const unsigned m = square / 2, n = square % 2;
    if ((wanted >> square & 1) != 0) tile.out[m][n] = &out.numbers[square * 256];
  }
  // What no wanted square needs is not there.
  for (unsigned i = 0; i < 2; ++i) {
    if (tile.out[i][0] == nullptr && tile.out[i][1] == nullptr) tile.x[i] = nullptr;
    if (tile.out[0][i] == nullptr && tile.out[1][i] == nullptr) tile.y[i] = nullptr;
  }
  kernels.gradient(tile);
  Index wrong = 0;
  for (Index i = 0; i < static_cast<Index>(kOut); ++i) {
    const auto square = static_cast<int>(i / 256);
    const float start = add ? before.numbers[i] : 0;
    if ((wanted >> square & 1) == 0) {
      wrong += add ? out.numbers[i] != start : !std::isnan(out.numbers[i]);
    } else if (out.numbers[i] != expected_gradient(tile, square / 2, square % 2, start, i % 256)) {
      ++wrong;
    }
  }
  INFO(steps << " steps, squares " << wanted << ", add " << add);
  CHECK(wrong == 0);
}

TEST_CASE("tiles: a gradient has the bits of scalar loops, of the squares that are wanted",
          "[kernels]") {
  with_tiles([](const TileKernels& kernels) {
    kernels.begin();
    for (unsigned wanted = 0; wanted < 16; ++wanted) {
      check_gradient(kernels, 3, wanted, wanted % 3 == 0);
    }
    for (const bool add : {false, true}) {
      for (const Index steps : {1, 2, 9}) check_gradient(kernels, steps, 15, add);
    }
    kernels.end();
  });
}

#if SLUICE_TESTS_EMULATE_AMX
TEST_CASE("tiles: AMX is found only where it is no illegal instruction", "[kernels]") {
  const bool found = find_amx_kernels() != nullptr;
  const testing::AmxEmulator emulator;
  CHECK(found == !emulator.is_needed());
  if (found) CHECK(find_amx_kernels() == &unchecked_amx_kernels());
}

TEST_CASE("tiles: AMX's are there from begin to end", "[kernels]") {
  find_amx_kernels();
  const testing::AmxEmulator emulator;
  unchecked_amx_kernels().begin();
  CHECK(emulator.has_tiles());
  check_product(unchecked_amx_kernels(), 32, 1, 1, false);
  CHECK(emulator.has_tiles());
  unchecked_amx_kernels().end();
  CHECK_FALSE(emulator.has_tiles());
}
#endif

}  // namespace
}  // namespace sluice::kernels::simd
