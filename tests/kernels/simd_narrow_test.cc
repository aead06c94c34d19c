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
  explicit Subject(WeightFormat format)
      : weights(testing::normal_values(kPanels * kChunks * kPair, 1, 0.1)),
        x(testing::normal_values(kChunks * kMostRows * kBlock + kMostRows * kBlock, 2, 1)),
        narrow(format, kPanels, kChunks) {
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
    narrow.multiply(kernels, panel, {x.data(), kMostRows * kBlock}, rows, z.data());
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

TEST_CASE("SIMD int8: a product is that of double loops", "[kernels]") {
  Subject s(WeightFormat::kInt8);
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (Index panel = 0; panel < kPanels; ++panel) {
      for (Index rows = 1; rows <= kernels->tile_rows; ++rows) {
        const std::vector<float> z = s.multiply(*kernels, panel, rows);
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
          if (!(std::abs(got - sum) <= kChunks * kBlock * 0x1p-24 * size)) ++wrong;
        }
        INFO(rows << " rows, set " << static_cast<int>(kernels->set));
        CHECK(wrong == 0);
        CHECK(std::isnan(z[kMostRows * kPanel]));
      }
    }
  }
}

TEST_CASE("SIMD int8: a row's bits do not depend on how many there are", "[kernels]") {
  Subject s(WeightFormat::kInt8);
  for (const Kernels* kernels : testing::simd_kernels()) {
    const std::vector<float> all = s.multiply(*kernels, 1, kernels->tile_rows);
    for (Index rows = 1; rows < kernels->tile_rows; ++rows) {
      const std::vector<float> some = s.multiply(*kernels, 1, rows);
      INFO(rows << " rows, set " << static_cast<int>(kernels->set));
      CHECK(std::equal(some.begin(), some.begin() + rows * kPanel, all.begin()));
    }
  }
}

}  // namespace
}  // namespace sluice::kernels::simd
