#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "tests/support/simd_kernels.h"

// The functions behind the gates of every instruction set, read off what a gate saves.
namespace sluice::kernels::simd {
namespace {

// A gate's outputs without anything around it, for chosen a and b.
struct Outputs {
  float h, first, second;
};
std::vector<Outputs> through_gate(const Kernels& kernels, Gate gate, const std::vector<float>& a,
                                  const std::vector<float>& b) {
  const auto size = static_cast<Index>(a.size());
  std::vector<std::int32_t> token(1, 0);
  AlignedBuffer tile(kPanel), h(kBlock), saved(2 * kBlock);
  JunctionView view;
  view.gate = gate;
  view.token = token.data();
  view.plain = {h.data(), kBlock};
  view.saved = {saved.data(), kBlock};
  std::vector<Outputs> out;
  for (Index i = 0; i < size; i += kBlock) {
    const Index count = std::min(kBlock, size - i);
    std::copy_n(a.data() + i, count, tile.data());
    std::copy_n(b.data() + i, count, tile.data() + kBlock);
    kernels.junction_forward(view, 0, 0, 1, tile.data(), tile.data() + kBlock);
    for (Index k = 0; k < count; ++k) {
      out.push_back({h.data()[k], saved.data()[k], saved.data()[kBlock + k]});
    }
  }
  return out;
}

std::vector<float> dense(float low, float high) {
  std::vector<float> values;
  for (Index i = 0; i <= 200000; ++i) {
    values.push_back(low + (high - low) * static_cast<float>(i) / 200000);
  }
  return values;
}

}  // namespace

TEST_CASE("SIMD gates: errors of logistic, tanh and Phi over dense ranges", "[kernels]") {
  const std::vector<float> wide = dense(-100, 100), narrow = dense(-6, 6);
  for (const Kernels* kernels : testing::simd_kernels()) {
    INFO("set " << static_cast<int>(kernels->set));
    double sigma = 0, tanh = 0, phi = 0;
    for (const std::vector<float>& x : {wide, narrow}) {
      const std::vector<float> one(x.size(), 1);
      const std::vector<Outputs> glu = through_gate(*kernels, Gate::kGlu, one, x);
      const std::vector<Outputs> bounded = through_gate(*kernels, Gate::kTanh, x, one);
      const std::vector<Outputs> normal = through_gate(*kernels, Gate::kGeglu, one, x);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto at = static_cast<double>(x[i]);
        const auto error = [](float got, double want, double relative_to) {
          return std::abs(static_cast<double>(got) - want) / relative_to;
        };
        // Relative wherever the result is a normal float.
        const double s = 1 / (1 + std::exp(-at)), t = std::tanh(at);
        if (at > -87) sigma = std::max(sigma, error(glu[i].second, s, s));
        if (at <= -87) CHECK(glu[i].second < 2e-38F);
        if (t != 0) tanh = std::max(tanh, error(bounded[i].h, t, std::abs(t)));
        phi = std::max(phi, error(normal[i].h, at * std::erfc(-at * std::sqrt(0.5)) / 2,
                                  std::max(1.0, std::abs(at))));
      }
    }
    CHECK(sigma < 2.5e-7);
    CHECK(tanh < 2e-7);
    CHECK(phi < 2e-7);
    // tanh keeps its digits where it is nearly its argument.
    const std::vector<float> tiny = {1e-30F, -1e-12F, 3e-7F, -2e-4F, 0.0F, -0.0F};
    const std::vector<Outputs> out = through_gate(*kernels, Gate::kTanh, tiny, tiny);
    for (std::size_t i = 0; i < tiny.size(); ++i) {
      CHECK(out[i].h == Approx(std::tanh(static_cast<double>(tiny[i]))).epsilon(1e-7).margin(0));
    }
  }
}

TEST_CASE("SIMD gates: infinities saturate, a NaN stays one", "[kernels]") {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Kernels* kernels : testing::simd_kernels()) {
    INFO("set " << static_cast<int>(kernels->set));
    const auto glu = through_gate(*kernels, Gate::kGlu, {1, 1}, {inf, -inf});
    CHECK(glu[0].second == 1);
    CHECK(glu[1].second < 2e-38F);
    const auto tanh = through_gate(*kernels, Gate::kTanh, {inf, -inf}, {0, 0});
    CHECK(tanh[0].h == 1);
    CHECK(tanh[1].h == -1);
    const auto geglu = through_gate(*kernels, Gate::kGeglu, {1, 1}, {3e38F, -1e30F});
    CHECK(geglu[0].h == 3e38F);
    CHECK(geglu[1].h == 0);
    for (int i = 0; i < kGates; ++i) {
      INFO("gate " << i);
      const auto gate = static_cast<Gate>(i);
      CHECK(std::isnan(through_gate(*kernels, gate, {nan}, {1})[0].h));
      if (is_paired(gate)) CHECK(std::isnan(through_gate(*kernels, gate, {1}, {nan})[0].h));
      CHECK(through_gate(*kernels, gate, {0}, {0})[0].h == 0);
    }
  }
}

}  // namespace sluice::kernels::simd
