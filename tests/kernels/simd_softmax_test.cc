#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/base/random.h"
#include "tests/support/simd_kernels.h"

// The softmax's kernels of every instruction set against plain double.
namespace sluice::kernels::simd {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kUntouched = 777;

AlignedBuffer normal(Index size, std::uint64_t key, double deviation) {
  AlignedBuffer out(size);
  for (Index i = 0; i < size; ++i) {
    const double value = deviation * normal_at(key, static_cast<std::uint64_t>(i));
    out.data()[i] = static_cast<float>(value);
  }
  return out;
}

// Panels of logits of some rows, and what the kernel makes of them.
struct Logits {
  Logits(Index panel_count, Index row_count)
      : panels(panel_count),
        rows(row_count),
        pitch((row_count + 1) * kBlock),
        z(normal(panel_count * kMostRows * kPanel, 5, 4)),
        out(2 * panel_count * pitch),
        max(static_cast<std::size_t>(row_count)),
        sum(static_cast<std::size_t>(row_count)) {}
  float& at(Index row, Index word) {
    return z.data()[(word / kPanel * kMostRows + row) * kPanel + word % kPanel];
  }
  float exponential(Index row, Index word) const {
    return out.data()[word / kBlock * pitch + row * kBlock + word % kBlock];
  }
  Index words() const { return panels * kPanel; }
  void run(const Kernels& kernels, bool keep) {
    std::fill_n(out.data(), out.size(), kUntouched);
    kernels.exponentials(z.data(), panels, rows, max.data(), sum.data(),
                         keep ? out.data() : nullptr, pitch);
  }

  Index panels, rows, pitch;
  AlignedBuffer z, out;
  std::vector<float> max;
  std::vector<double> sum;
};

}  // namespace

TEST_CASE("SIMD softmax: maxima, exponentials and their sums", "[kernels]") {
  REQUIRE(!testing::simd_kernels().empty());
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (const Index panels : {1, 3}) {
      for (const Index rows : {1, 27, 32}) {
        INFO("set " << static_cast<int>(kernels->set) << ", " << panels << " panels, " << rows);
        Logits logits(panels, rows);
        const Index no_word = logits.words() - 3;  // and all behind it
        for (Index r = 0; r < rows; ++r) {
          for (Index w = no_word; w < logits.words(); ++w) logits.at(r, w) = -kInf;
        }
        const bool keep = GENERATE(true, false);
        logits.run(*kernels, keep);
        double worst = 0, worst_sum = 0;
        bool right_max = true, zeros = true;
        for (Index r = 0; r < rows; ++r) {
          const auto at = static_cast<std::size_t>(r);
          float max = -kInf;
          for (Index w = 0; w < logits.words(); ++w) max = std::max(max, logits.at(r, w));
          right_max &= logits.max[at] == max;
          double sum = 0;
          for (Index w = 0; w < no_word; ++w) {
            const double e =
                std::exp(static_cast<double>(logits.at(r, w)) - static_cast<double>(max));
            sum += e;
            const auto got = static_cast<double>(logits.exponential(r, w));
            // The difference in the exponent is rounded, too.
            if (keep) worst = std::max(worst, std::abs(got - e) / e);
          }
          worst_sum = std::max(worst_sum, std::abs(logits.sum[at] - sum) / sum);
          if (!keep) continue;
          for (Index w = no_word; w < logits.words(); ++w) {
            zeros &= logits.exponential(r, w) == 0;
          }
        }
        CHECK(right_max);
        CHECK(worst < 2e-6);
        CHECK(worst_sum < 1e-6);
        CHECK(zeros);
        bool untouched = true;
        for (Index block = 0; block < 2 * panels; ++block) {
          const Index behind = keep ? rows : 0;
          untouched &= logits.out.data()[block * logits.pitch + behind * kBlock] == kUntouched;
        }
        CHECK(untouched);
      }
    }
  }
}

TEST_CASE("SIMD softmax: exp to about a unit in the last place, 0 where it vanishes", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    INFO("set " << static_cast<int>(kernels->set));
    double worst = 0;
    for (Index part = 0; part < 300; ++part) {
      Logits logits(32, 1);
      logits.at(0, 0) = 0;  // the largest
      for (Index w = 1; w < logits.words(); ++w) {
        logits.at(0, w) = -87.3F * static_cast<float>(part * logits.words() + w) /
                          static_cast<float>(300 * logits.words());
      }
      logits.run(*kernels, true);
      for (Index w = 0; w < logits.words(); ++w) {
        const double e = std::exp(static_cast<double>(logits.at(0, w)));
        worst = std::max(worst, std::abs(static_cast<double>(logits.exponential(0, w)) - e) / e);
      }
    }
    CHECK(worst < 1.2e-7);
    Logits logits(1, 1);
    for (Index w = 1; w < kPanel; ++w) logits.at(0, w) = -87.31F * static_cast<float>(w * w * w);
    logits.at(0, 0) = 0;
    logits.at(0, 9) = -3e38F;
    logits.run(*kernels, true);
    CHECK(logits.exponential(0, 0) == 1);
    for (Index w = 1; w < kPanel; ++w) CHECK(logits.exponential(0, w) == 0);
    CHECK(logits.sum[0] == 1);
  }
}

TEST_CASE("SIMD softmax: one large term does not hide the others", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (const Index largest : {0, 40, 95}) {  // added first, between, last
      Logits logits(3, 2);
      for (Index w = 0; w < logits.words(); ++w) logits.at(1, w) = w == largest ? 1000 : 978;
      logits.run(*kernels, false);
      const double rest = 95 * std::exp(-22.0);
      CHECK(logits.sum[1] - 1 == Approx(rest).epsilon(1e-5));
      std::vector<float> plain(96, 978);
      plain[static_cast<std::size_t>(largest)] = 1000;
      CHECK(kernels->exponential_sum(plain.data(), 96, 1000) - 1 == Approx(rest).epsilon(1e-5));
    }
  }
}

// The trainer skips a step by its loss: nothing broken may look like a number.
TEST_CASE("SIMD softmax: a logit that is not finite makes the sum not finite", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (const float broken : {kNan, -kNan, kInf}) {
      for (const Index word : {0, 17, 31, 64, 95}) {
        INFO("set " << static_cast<int>(kernels->set) << ", " << broken << " at " << word);
        Logits logits(3, 3);
        logits.at(1, word) = broken;
        logits.run(*kernels, true);
        CHECK_FALSE(std::isfinite(logits.sum[1]));
        CHECK(std::isfinite(logits.sum[0]));
        CHECK(std::isfinite(logits.sum[2]));
        std::vector<float> plain(96, 1);
        plain[static_cast<std::size_t>(word)] = broken;
        const float max = kernels->largest(plain.data(), 96);
        CHECK_FALSE(std::isfinite(kernels->exponential_sum(plain.data(), 96, max)));
      }
    }
    // No word at all among these.
    Logits none(1, 1);
    std::fill_n(none.z.data(), kPanel, -kInf);
    none.run(*kernels, true);
    CHECK(none.max[0] == -kInf);
    CHECK(none.sum[0] == 0);
    CHECK(none.exponential(0, 5) == 0);
  }
}

TEST_CASE("SIMD softmax: arrays of any length", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (const Index size : {1, 3, 4, 15, 16, 17, 31, 32, 48, 100}) {
      INFO("set " << static_cast<int>(kernels->set) << ", " << size << " numbers");
      for (const Index offset : {0, 1}) {  // any address
        const AlignedBuffer values = normal(size + offset + 1, 8, 3);
        float* first = values.data() + offset;
        first[size] = 50;  // not of the array
        const float max = *std::max_element(first, first + size);
        CHECK(kernels->largest(first, size) == max);
        double sum = 0;
        for (Index i = 0; i < size; ++i) sum += std::exp(static_cast<double>(first[i] - max));
        CHECK(kernels->exponential_sum(first, size, max) == Approx(sum).epsilon(3e-7));
        const std::vector<float> before(first, first + size);
        kernels->subtract(first, size, 1e4F, 0.3F);
        bool exact = true;
        for (Index i = 0; i < size; ++i) {
          exact &= first[i] == (before[static_cast<std::size_t>(i)] - 1e4F) - 0.3F;
        }
        CHECK(exact);
        CHECK(first[size] == 50);
      }
    }
  }
}

TEST_CASE("SIMD softmax: logits are scaled and shifted by column", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    const AlignedBuffer scales = normal(kPanel, 1, 1), biases = normal(kPanel, 2, 1);
    biases.data()[31] = -kInf;
    for (const int given : {0, 1, 2, 3}) {
      const AlignedBuffer before = normal(4 * kPanel, 3, 1), z = normal(4 * kPanel, 3, 1);
      kernels->shift_logits(z.data(), 3, (given & 1) != 0 ? scales.data() : nullptr,
                            (given & 2) != 0 ? biases.data() : nullptr);
      for (Index i = 0; i < 4 * kPanel; ++i) {
        double expected = static_cast<double>(before.data()[i]);
        if (i < 3 * kPanel && (given & 1) != 0) {
          expected *= static_cast<double>(scales.data()[i % kPanel]);
        }
        if (i < 3 * kPanel && (given & 2) != 0) {
          expected += static_cast<double>(biases.data()[i % kPanel]);
        }
        if (std::isinf(expected)) {
          CHECK(z.data()[i] == -kInf);
        } else {
          CHECK(z.data()[i] == Approx(expected).margin(1e-6));
        }
      }
    }
  }
}

TEST_CASE("SIMD softmax: rows times factors, a factor of 0 clears anything", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    const AlignedBuffer block = normal(4 * kBlock, 4, 1), before = normal(4 * kBlock, 4, 1);
    block.data()[3] = kNan;
    block.data()[14] = kInf;
    const float factors[] = {0, -1.5F, 2};
    kernels->scale_rows(block.data(), 3, factors);
    for (Index i = 0; i < kBlock; ++i) {
      CHECK(block.data()[i] == 0);
      CHECK(block.data()[kBlock + i] == -1.5F * before.data()[kBlock + i]);
      CHECK(block.data()[2 * kBlock + i] == 2 * before.data()[2 * kBlock + i]);
      CHECK(block.data()[3 * kBlock + i] == before.data()[3 * kBlock + i]);
    }
    block.data()[kBlock] = kNan;
    kernels->scale_rows(block.data(), 3, factors);
    CHECK(std::isnan(block.data()[kBlock]));
  }
}

TEST_CASE("SIMD softmax: column sums are added", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (const Index rows : {0, 1, 2, 27, 28}) {
      const AlignedBuffer block = normal(29 * kBlock, 6, 1);
      std::vector<float> sums(kBlock, 0.5F);
      kernels->add_columns(block.data(), rows, sums.data());
      for (Index i = 0; i < kBlock; ++i) {
        double sum = 0.5;
        for (Index r = 0; r < rows; ++r) sum += static_cast<double>(block.data()[r * kBlock + i]);
        CHECK(sums[static_cast<std::size_t>(i)] == Approx(sum).margin(1e-5));
      }
    }
  }
}

TEST_CASE("SIMD softmax: a row times the words of a row of squares", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (const Index count : {1, 2, 9}) {
      const AlignedBuffer squares = normal(count * kSquare, 7, 1), x = normal(count * kBlock, 8, 1);
      std::vector<float> out(kBlock + 1, kUntouched);
      kernels->dot_words(squares.data(), x.data(), kBlock, count, out.data());
      for (Index word = 0; word < kBlock; ++word) {
        double dot = 0;
        for (Index k = 0; k < count * kBlock; ++k) {
          const float weight = squares.data()[k / kBlock * kSquare + word * kBlock + k % kBlock];
          dot += static_cast<double>(weight) * static_cast<double>(x.data()[k]);
        }
        CHECK(out[static_cast<std::size_t>(word)] == Approx(dot).margin(1e-5));
      }
      CHECK(out[kBlock] == kUntouched);
      // The same word gives the same bits at any place and beside any others.
      std::vector<float> moved(kBlock);
      for (Index square = 0; square < count; ++square) {
        float* first = squares.data() + square * kSquare;
        std::copy_n(first + 2 * kBlock, kBlock, first + 13 * kBlock);
      }
      kernels->dot_words(squares.data(), x.data(), kBlock, count, moved.data());
      CHECK(moved[13] == out[2]);
      CHECK(moved[2] == out[2]);
    }
  }
}

}  // namespace sluice::kernels::simd
