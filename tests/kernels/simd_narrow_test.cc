// Products with weights in fewer bits, against those of every instruction set with the same
// numbers.
#include <catch2/catch.hpp>
#include <limits>
#include <vector>

#include "src/kernels/simd/narrow.h"
#include "tests/support/simd_kernels.h"
#include "tests/support/tiny_model.h"

namespace sluice::kernels::simd {
namespace {

constexpr Index kPanels = 2, kChunks = 5;

// Weights that the format holds, [panels][chunks][2][16][16], and their copies.
struct Subject {
  explicit Subject(WeightFormat format, const DigitKernels* digits = nullptr)
      : weights(testing::normal_values(kPanels * kChunks * kPair, 1, 0.1)),
        x(testing::normal_values(kChunks * kMostRows * kBlock + kMostRows * kBlock, 2, 1)),
        narrow(format, kPanels, kChunks, digits) {
    for (Index panel = 0; panel < kPanels; ++panel) {
      for (Index column = 0; column < kPanel; ++column) {
        const float scale = narrow_channel(format, [&](const auto& visit) {
          for (Index input = 0; input < kChunks * kBlock; ++input) visit(at(panel, input, column));
        });
        if (format == WeightFormat::kInt8) narrow.scales(panel)[column] = scale;
      }
      for (Index chunk = 0; chunk < kChunks; ++chunk) {
        narrow.set(panel, chunk, &at(panel, chunk * kBlock, 0));
      }
    }
  }
  float& at(Index panel, Index input, Index column) {
    return weights[static_cast<std::size_t>((panel * kChunks + input / kBlock) * kPair +
                                            column / kBlock * kSquare + input % kBlock * kBlock +
                                            column % kBlock)];
  }
  // Of rows that lie kMostRows apart, so that all numbers of them read the same.
  std::vector<float> multiply(const Kernels& kernels, Index panel, Index rows) {
    std::vector<float> z((kMostRows + 1) * kPanel, std::numeric_limits<float>::quiet_NaN());
    NarrowRows operand = {.floats = {x.data(), kMostRows * kBlock}};
    std::vector<QuadDigits> digits(kChunks * (kBlock / kQuad) * kMostRows);
    std::vector<float> steps(kMostRows);
    if (narrow.digits() != nullptr) {
      for (Index row = 0; row < kMostRows; ++row) {
        steps[static_cast<std::size_t>(row)] =
            narrow.digits()->split(operand.floats.at(0, row), operand.floats.pitch, kChunks,
                                   digits.data() + row, kMostRows);
      }
      operand.digits = digits.data();
      operand.steps = steps.data();
    }
    narrow.multiply(kernels, panel, operand, 0, rows, z.data());
    return z;
  }

  std::vector<float> weights, x;
  NarrowPanels narrow;
};

TEST_CASE("SIMD bf16: a product has the bits of one with the same floats", "[kernels]") {
  Subject s(WeightFormat::kBfloat16);
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (Index panel = 0; panel < kPanels; ++panel) {
      for (Index rows = 1; rows <= kernels->tile_rows; ++rows) {
        const std::vector<float> z = s.multiply(*kernels, panel, rows);
        std::vector<float> expected(kMostRows * kPanel);
        kernels->product({.a = s.x.data(),
                          .a_chunk = kMostRows * kBlock,
                          .a_tap = 0,
                          .b = &s.at(panel, 0, 0),
                          .b_chunk = kPair,
                          .chunks = kChunks,
                          .taps = 1,
                          .rows = rows,
                          .out = expected.data(),
                          .add = false});
        INFO(rows << " rows, set " << static_cast<int>(kernels->set));
        CHECK(std::equal(z.begin(), z.begin() + rows * kPanel, expected.begin()));
        CHECK(std::isnan(z[kMostRows * kPanel]));
      }
    }
  }
}

// Each set by itself, and with digits where there are kernels for them.
template <class Visit>
void each_int8(const Visit& visit) {
  for (const Kernels* kernels : testing::simd_kernels()) {
    const DigitKernels* digits = find_digit_kernels(kernels->set);
    for (const bool in_digits : {false, true}) {
      if (in_digits && digits == nullptr) continue;
      Subject subject(WeightFormat::kInt8, in_digits ? digits : nullptr);
      INFO("set " << static_cast<int>(kernels->set) << ", digits " << in_digits);
      visit(*kernels, subject);
    }
  }
}

TEST_CASE("SIMD int8: a product is that of double loops", "[kernels]") {
  each_int8([](const Kernels& kernels, Subject& s) {
    for (Index panel = 0; panel < kPanels; ++panel) {
      for (Index rows = 1; rows <= kernels.tile_rows; ++rows) {
        const std::vector<float> z = s.multiply(kernels, panel, rows);
        Index wrong = 0;
        for (Index i = 0; i < rows * kPanel; ++i) {
          double sum = 0, size = 0;
          for (Index input = 0; input < kChunks * kBlock; ++input) {
            const Index x_at = input / kBlock * kMostRows * kBlock + i / kPanel * kBlock;
            const double term =
                static_cast<double>(s.x[static_cast<std::size_t>(x_at + input % kBlock)]) *
                static_cast<double>(s.at(panel, input, i % kPanel));
            sum += term;
            size += std::abs(term);
          }
          const double got = static_cast<double>(z[static_cast<std::size_t>(i)]);
          if (!(std::abs(got - sum) <= 8 * 0x1p-24 * size)) ++wrong;
        }
        INFO(rows << " rows");
        CHECK(wrong == 0);
        CHECK(std::isnan(z[kMostRows * kPanel]));
      }
    }
  });
}

TEST_CASE("SIMD int8: a row's bits do not depend on how many there are", "[kernels]") {
  each_int8([](const Kernels& kernels, Subject& s) {
    const std::vector<float> all = s.multiply(kernels, 1, kernels.tile_rows);
    for (Index rows = 1; rows < kernels.tile_rows; ++rows) {
      const std::vector<float> some = s.multiply(kernels, 1, rows);
      INFO(rows << " rows");
      CHECK(std::equal(some.begin(), some.begin() + rows * kPanel, all.begin()));
    }
  });
}

TEST_CASE("SIMD int8: what is not finite shows in its row alone, zeros and specks are zero",
          "[kernels]") {
  each_int8([](const Kernels& kernels, Subject& s) {
    const std::vector<float> before = s.multiply(kernels, 0, 5);
    const auto set_row = [&](Index row, float value) {
      for (Index chunk = 0; chunk < kChunks; ++chunk) {
        std::fill_n(s.x.begin() + (chunk * kMostRows + row) * kBlock, kBlock, value);
      }
    };
    s.x[3 * kMostRows * kBlock + 7] = std::numeric_limits<float>::quiet_NaN();
    s.x[kMostRows * kBlock + kBlock] = -std::numeric_limits<float>::infinity();
    set_row(2, 0);
    set_row(4, 1e-37F);
    const std::vector<float> z = s.multiply(kernels, 0, 5);
    for (Index column = 0; column < kPanel; ++column) {
      const auto at = [&](Index row) { return static_cast<std::size_t>(row * kPanel + column); };
      CHECK(!std::isfinite(z[at(0)]));
      CHECK(!std::isfinite(z[at(1)]));
      CHECK(z[at(2)] == 0);
      CHECK(z[at(3)] == before[at(3)]);
      CHECK(std::abs(z[at(4)]) < 1e-34F);
    }
  });
}

TEST_CASE("SIMD int8: digits reach their sums' ends without overflow", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    const DigitKernels* digits = find_digit_kernels(kernels->set);
    if (digits == nullptr) continue;
    constexpr Index kBlocks = kMostDigitInputs / kBlock;
    NarrowPanels narrow(WeightFormat::kInt8, 1, kBlocks, digits);
    REQUIRE(narrow.digits() == digits);
    CHECK(NarrowPanels(WeightFormat::kInt8, 1, kBlocks + 1, digits).digits() == nullptr);
    std::fill_n(narrow.scales(0), kPanel, 1.0F);
    const std::vector<float> pair(kPair, -127.0F);
    for (Index chunk = 0; chunk < kBlocks; ++chunk) narrow.set(0, chunk, pair.data());
    for (const float value : {1.0F, -1.0F}) {
      std::vector<float> x(kMostDigitInputs, value);
      std::vector<QuadDigits> quads(kMostDigitInputs / kQuad);
      const float step = digits->split(x.data(), kBlock, kBlocks, quads.data(), 1);
      float z[kPanel];
      narrow.multiply(*kernels, 0,
                      {.floats = {x.data(), kBlock}, .digits = quads.data(), .steps = &step}, 0, 1,
                      z);
      const double expected = -127.0 * kMostDigitInputs * static_cast<double>(value);
      for (const float sum : z) CHECK(static_cast<double>(sum) == Approx(expected).epsilon(1e-6));
    }
  }
}

}  // namespace
}  // namespace sluice::kernels::simd
