// From float to bfloat16 in the forms of tiles' operands, against a choice between neighbours.
#include <array>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

#include "src/kernels/simd/tiles.h"
#include "tests/support/simd_kernels.h"
#include "tests/support/tiny_model.h"

namespace sluice::kernels::simd {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr Bfloat16 kUntouched = 0xABCD;

float widen(Bfloat16 x) { return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16); }

// Its size as if there were no infinity, so that distances to it make sense.
double size_of(std::uint32_t bits) {
  return bits < 0x7F80 ? static_cast<double>(widen(static_cast<Bfloat16>(bits))) : 0x1p128;
}

Bfloat16 nearest(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t below = (bits & 0x7FFFFFFF) >> 16, sign = bits >> 31 << 15;
  if (std::isinf(x)) return static_cast<Bfloat16>(sign | below);
  const double size = std::abs(static_cast<double>(x));
  const double down = size - size_of(below), up = size_of(below + 1) - size;
  const bool upwards = up < down || (up == down && below % 2 == 1);
  return static_cast<Bfloat16>(sign | (below + (upwards ? 1 : 0)));
}

bool is_narrow(Bfloat16 got, float x, Part part) {
  if (part == Part::kHigh) return std::isnan(x) ? std::isnan(widen(got)) : got == nearest(x);
  const float high = std::isnan(x) ? x : widen(nearest(x));
  return got == (std::isfinite(high) ? nearest(x - high) : 0);
}

std::vector<float> values(Index size, std::uint64_t seed) {
  return testing::normal_values(static_cast<std::size_t>(size), seed, 2);
}

// Every sign, exponent and end of the fraction that rounding has to tell apart.
std::vector<float> hard_values() {
  std::vector<float> all = {0.0F, -0.0F, kInf, -kInf, kNaN, -kNaN};
  // NaNs whose bits would carry over to infinity, zero, or be cut to infinity.
  for (const std::uint32_t bits : {0x7FFFFFFFU, 0xFFFFFFFFU, 0x7F800001U, 0xFF800001U}) {
    all.push_back(std::bit_cast<float>(bits));
  }
  for (std::uint32_t upper = 0; upper <= 0xFFFF; upper += 17) {
    for (const std::uint32_t lower : {0x0U, 0x1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      const auto x = std::bit_cast<float>(upper << 16 | lower);
      all.push_back(x);
      all.push_back(std::bit_cast<float>((upper ^ 1) << 16 | lower));
    }
  }
  while (all.size() % 32 != 0) all.push_back(1);
  return all;
}

TEST_CASE("bfloat16: the nearest, ties to even, and what is left over", "[kernels]") {
  const std::vector<float> values = hard_values();
  const auto rows = static_cast<Index>(values.size()) / kLine;
  const float* second = values.data() + rows * 16;
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (const Part part : {Part::kHigh, Part::kLow}) {
      std::vector<Bfloat16> out(values.size());
      kernels->narrow.lines(values.data(), second, rows, part, out.data());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t line = i / 32, at = i % 32;
        const float x = at < 16 ? values[line * 16 + at] : second[line * 16 + at - 16];
        if (!is_narrow(out[i], x, part)) {
          FAIL_CHECK("set " << static_cast<int>(kernels->set) << ", part " << static_cast<int>(part)
                            << ": " << std::hexfloat << x << " became " << widen(out[i]));
        }
      }
    }
  }
}

TEST_CASE("bfloat16: both parts together keep 16 bits of a float's fraction", "[kernels]") {
  const std::vector<float> x = values(32, 5);
  for (const Kernels* kernels : testing::simd_kernels()) {
    std::array<Bfloat16, 32> high{}, low{};
    kernels->narrow.lines(x.data(), x.data() + 16, 1, Part::kHigh, high.data());
    kernels->narrow.lines(x.data(), x.data() + 16, 1, Part::kLow, low.data());
    for (std::size_t i = 0; i < 32; ++i) {
      const float both = widen(high[i]) + widen(low[i]);
      CHECK(std::abs(both - x[i]) <= 0x1p-17F * std::abs(x[i]));
      CHECK(high[i] == nearest(x[i]));
    }
  }
}

// Where a form takes the number at `at` of its operand from: row and channel of blocks of 16.
struct Place {
  Index row, column;
};

// make: narrows `from` to `size` numbers; place: where each comes from.
template <class Make, class From>
void check_form(const char* name, Index size, const std::vector<float>& from, const Make& make,
                const From& place) {
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (const Part part : {Part::kHigh, Part::kLow}) {
      std::vector<Bfloat16> out(static_cast<std::size_t>(size) + kLine, kUntouched);
      make(kernels->narrow, from.data(), part, out.data());
      Index wrong = 0;
      for (Index i = 0; i < size; ++i) {
        const Place at = place(i);
        const float x = from[static_cast<std::size_t>(at.row * 16 + at.column)];
        wrong += !is_narrow(out[static_cast<std::size_t>(i)], x, part);
      }
      INFO(name << ": " << size << " numbers, set " << static_cast<int>(kernels->set) << ", part "
                << static_cast<int>(part));
      CHECK(wrong == 0);
      CHECK(std::all_of(out.end() - kLine, out.end(), [](auto x) { return x == kUntouched; }));
    }
  }
}

TEST_CASE("bfloat16: lines lie as stated, of any number of rows", "[kernels]") {
  for (const Index rows : {1, 2, 7, 35}) {
    const std::vector<float> from = values(2 * rows * 16, 6);
    check_form(
        "lines", rows * kLine, from,
        [&](const NarrowKernels& narrow, const float* in, Part part, Bfloat16* out) {
          narrow.lines(in, in + rows * 16, rows, part, out);
        },
        [&](Index i) {
          return Place{i / 32 + (i % 32 < 16 ? 0 : rows), i % 16};
        });
  }
}

TEST_CASE("bfloat16: lines of one block are zero in their other half", "[kernels]") {
  const std::vector<float> from = values(3 * 16, 6);
  for (const Kernels* kernels : testing::simd_kernels()) {
    std::vector<Bfloat16> out(3 * kLine, kUntouched);
    kernels->narrow.lines(from.data(), nullptr, 3, Part::kHigh, out.data());
    for (std::size_t i = 0; i < out.size(); ++i) {
      CHECK(out[i] == (i % 32 < 16 ? nearest(from[i / 32 * 16 + i % 32]) : 0));
    }
  }
}

TEST_CASE("bfloat16: transposed steps lie as stated", "[kernels]") {
  for (const Index steps : {1, 3}) {
    check_form(
        "transposed", steps * kTile, values(steps * 32 * 16, 7),
        [&](const NarrowKernels& narrow, const float* in, Part part, Bfloat16* out) {
          narrow.transposed(in, steps, part, out);
        },
        [](Index i) {
          return Place{i / kTile * 32 + i % 32, i % kTile / 32};
        });
  }
}

TEST_CASE("bfloat16: pairs of rows and of columns lie as stated", "[kernels]") {
  for (const Index pairs : {1, 5, 16}) {
    check_form(
        "row pairs", pairs * kLine, values(2 * pairs * 16, 8),
        [&](const NarrowKernels& narrow, const float* in, Part part, Bfloat16* out) {
          narrow.row_pairs(in, pairs, part, out);
        },
        [](Index i) {
          return Place{i / 32 * 2 + i % 2, i % 32 / 2};
        });
  }
  check_form(
      "column pairs", 8 * kLine, values(16 * 16, 9),
      [](const NarrowKernels& narrow, const float* in, Part part, Bfloat16* out) {
        narrow.column_pairs(in, part, out);
      },
      [](Index i) {
        return Place{i % 32 / 2, i / 32 * 2 + i % 2};
      });
}

}  // namespace
}  // namespace sluice::kernels::simd
