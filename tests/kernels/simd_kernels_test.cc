// Products and updates of every instruction set that runs here, against plain loops in double.
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "src/kernels/simd/kernels.h"

namespace sluice::kernels::simd {
namespace {

constexpr double kRounding = 0x1p-24;  // of one operation, relative
constexpr float kGap = std::numeric_limits<float>::quiet_NaN();

std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> found;
  for (const auto set : {InstructionSet::kAvx2, InstructionSet::kAvx512, InstructionSet::kNeon}) {
    if (const Kernels* kernels = find_kernels(set)) found.push_back(kernels);
  }
  return found;
}

class Numbers {
 public:
  explicit Numbers(unsigned seed) : bits_(seed) {}
  float uniform(float low = -1, float high = 1) {
    return std::uniform_real_distribution<float>(low, high)(bits_);
  }
  Index between(Index low, Index high) {
    return std::uniform_int_distribution<Index>(low, high)(bits_);
  }
  std::vector<float> vector(Index size, float low = -1, float high = 1) {
    std::vector<float> values(static_cast<std::size_t>(size));
    for (float& value : values) value = uniform(low, high);
    return values;
  }

 private:
  std::mt19937 bits_;
};

// Rows that count, with not-a-numbers between them and after them.
struct ProductCase {
  ProductCase(unsigned seed, Index row_count) : rows(row_count), out(kMostRows * kPanel + kBlock) {
    Numbers numbers(seed);
    chunks = numbers.between(1, 4);
    taps = numbers.between(1, 4);
    const Index shift = numbers.between(1, 3), span = kMostRows + (taps - 1) * shift;
    const bool backwards = numbers.between(0, 1) == 1;
    a_chunk = (span + numbers.between(0, 2)) * kBlock;
    b_chunk = taps * kPair + numbers.between(0, 1) * kBlock;
    a_tap = (backwards ? -shift : shift) * kBlock;
    a_first = backwards ? (taps - 1) * shift * kBlock : 0;
    a.assign(static_cast<std::size_t>(chunks * a_chunk), kGap);
    b.assign(static_cast<std::size_t>(chunks * b_chunk), kGap);
    for (Index chunk = 0; chunk < chunks; ++chunk) {
      for (Index i = 0; i < taps * kPair; ++i) at(b, chunk * b_chunk + i) = numbers.uniform();
      for (Index tap = 0; tap < taps; ++tap) {
        for (Index i = 0; i < rows * kBlock; ++i) {
          at(a, a_first + chunk * a_chunk + tap * a_tap + i) = numbers.uniform();
        }
      }
    }
    for (float& value : out) value = numbers.uniform();
  }
  static float& at(std::vector<float>& values, Index i) {
    return values[static_cast<std::size_t>(i)];
  }
  // What `count` rows of it make.
  std::vector<float> run(const Kernels& kernels, Index count, bool add) const {
    std::vector<float> result = out;
    kernels.product({.a = a.data() + a_first,
                     .a_chunk = a_chunk,
                     .a_tap = a_tap,
                     .b = b.data(),
                     .b_chunk = b_chunk,
                     .chunks = chunks,
                     .taps = taps,
                     .rows = count,
                     .out = result.data(),
                     .add = add});
    return result;
  }
  // The sum of an element, and that of its terms' sizes.
  std::pair<double, double> exact(Index row, Index column, bool add) {
    double sum = 0, size = 0;
    const auto term = [&](double value) {
      sum += value;
      size += std::abs(value);
    };
    if (add) term(static_cast<double>(at(out, row * kPanel + column)));
    for (Index chunk = 0; chunk < chunks; ++chunk) {
      for (Index tap = 0; tap < taps; ++tap) {
        for (Index i = 0; i < kBlock; ++i) {
          const Index half = column / kBlock * kSquare, b_at = i * kBlock + column % kBlock;
          term(static_cast<double>(
                   at(a, a_first + chunk * a_chunk + tap * a_tap + row * kBlock + i)) *
               static_cast<double>(at(b, chunk * b_chunk + tap * kPair + half + b_at)));
        }
      }
    }
    return {sum, size};
  }

  Index rows, chunks, taps, a_chunk, a_tap, a_first, b_chunk;
  std::vector<float> a, b, out;
};

TEST_CASE("simd: there is a table for what Highway finds, and none for the reference",
          "[kernels]") {
  CHECK(find_kernels(InstructionSet::kReference) == nullptr);
  for (const Kernels* kernels : tables()) {
    CHECK(find_kernels(kernels->set) == kernels);
    CHECK(kernels->tile_rows > 0);
    CHECK(kernels->tile_rows <= kMostRows);
  }
#ifdef __x86_64__
  __builtin_cpu_init();
  CHECK((find_kernels(InstructionSet::kAvx512) != nullptr) ==
        (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")));
#endif
}

TEST_CASE("simd: products are those of double loops, set and added", "[kernels]") {
  for (const Kernels* kernels : tables()) {
    for (Index rows = 1; rows <= kernels->tile_rows; ++rows) {
      for (const bool add : {false, true}) {
        ProductCase product(static_cast<unsigned>(rows), rows);
        const std::vector<float> out = product.run(*kernels, rows, add);
        const double terms = static_cast<double>(product.chunks * product.taps * kBlock + 1);
        Index wrong = 0;
        for (Index i = 0; i < rows * kPanel; ++i) {
          const auto [sum, size] = product.exact(i / kPanel, i % kPanel, add);
          const double got = static_cast<double>(out[static_cast<std::size_t>(i)]);
          if (!(std::abs(got - sum) <= terms * kRounding * size)) ++wrong;
        }
        INFO(rows << " rows, set " << static_cast<int>(kernels->set) << ", add " << add);
        CHECK(wrong == 0);
        CHECK(std::equal(out.end() - kBlock, out.end(), product.out.end() - kBlock));
      }
    }
  }
}

TEST_CASE("simd: a row's bits do not depend on how many rows a tile has", "[kernels]") {
  for (const Kernels* kernels : tables()) {
    const ProductCase product(7, kernels->tile_rows);
    const std::vector<float> all = product.run(*kernels, kernels->tile_rows, true);
    for (Index rows = 1; rows < kernels->tile_rows; ++rows) {
      const std::vector<float> some = product.run(*kernels, rows, true);
      INFO(rows << " rows, set " << static_cast<int>(kernels->set));
      CHECK(std::equal(some.begin(), some.begin() + rows * kPanel, all.begin()));
    }
  }
}

TEST_CASE("simd: gradients of products are those of double loops, set and added", "[kernels]") {
  for (const Kernels* kernels : tables()) {
    for (const Index rows : {1, 2, 7, 28, 141}) {
      Numbers numbers(static_cast<unsigned>(rows));
      const auto x = numbers.vector(rows * kBlock), first = numbers.vector(rows * kBlock);
      const auto second = numbers.vector(rows * kBlock), before = numbers.vector(kPair);
      for (const bool add : {false, true}) {
        auto out = before;
        kernels->gradient({.x = x.data(),
                           .y = {first.data(), second.data()},
                           .rows = rows,
                           .out = out.data(),
                           .add = add});
        Index wrong = 0;
        for (std::size_t i = 0; i < out.size(); ++i) {
          const auto& y = i < kSquare ? first : second;
          const std::size_t c = i % kSquare / kBlock, column = i % kBlock;
          double sum = add ? static_cast<double>(before[i]) : 0, size = std::abs(sum);
          for (std::size_t m = 0; m < static_cast<std::size_t>(rows) * kBlock; m += kBlock) {
            const double term = static_cast<double>(x[m + c]) * static_cast<double>(y[m + column]);
            sum += term;
            size += std::abs(term);
          }
          const double most = static_cast<double>(rows + 1) * kRounding * size;
          if (!(std::abs(static_cast<double>(out[i]) - sum) <= most)) ++wrong;
        }
        INFO(rows << " rows, set " << static_cast<int>(kernels->set) << ", add " << add);
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("simd: squares are transposed", "[kernels]") {
  for (const Kernels* kernels : tables()) {
    const auto in = Numbers(1).vector(kSquare);
    std::vector<float> out(kSquare), back(kSquare);
    kernels->transpose(in.data(), out.data());
    for (std::size_t i = 0; i < in.size(); ++i) {
      CHECK(out[i % kBlock * kBlock + i / kBlock] == in[i]);
    }
  }
}

TEST_CASE("simd: dots and squares are those of double sums, at any size", "[kernels]") {
  for (const Kernels* kernels : tables()) {
    for (const Index size : {0, 1, 15, 16, 17, 48, 255, 256, 257, 5000}) {
      Numbers numbers(static_cast<unsigned>(size));
      const auto a = numbers.vector(size), b = numbers.vector(size);
      std::array<double, kBlock> sums, exact, sizes = {};
      sums.fill(0.25);
      exact = sums;
      double squares = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        const double x = static_cast<double>(a[i]), term = x * static_cast<double>(b[i]);
        exact[i % kBlock] += term;
        sizes[i % kBlock] += std::abs(term);
        squares += x * x;
      }
      kernels->add_dots(a.data(), b.data(), size, sums.data());
      // No float sum has more than 16 terms.
      INFO(size << " numbers, set " << static_cast<int>(kernels->set));
      for (std::size_t i = 0; i < kBlock; ++i) {
        CHECK(std::abs(sums[i] - exact[i]) <= 16 * kRounding * sizes[i]);
      }
      CHECK(std::abs(kernels->sum_of_squares(a.data(), size) - squares) <=
            16 * kRounding * squares);
    }
  }
}

}  // namespace
}  // namespace sluice::kernels::simd
