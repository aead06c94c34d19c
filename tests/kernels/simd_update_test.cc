// Updates of every instruction set that runs here, against the formulas of kernels/update.h in
// double.
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "src/kernels/simd/kernels.h"

namespace sluice::kernels::simd {
namespace {

constexpr Index kSize = 3 * kBlock + 5;  // whole vectors of every set, and some numbers more
constexpr std::array kKinds = {UpdateKind::kSgd, UpdateKind::kNag, UpdateKind::kAdam,
                               UpdateKind::kAdamw};

std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> found;
  for (const auto set : {InstructionSet::kAvx2, InstructionSet::kAvx512, InstructionSet::kNeon}) {
    if (const Kernels* kernels = find_kernels(set)) found.push_back(kernels);
  }
  return found;
}

UpdateRule rule_of(UpdateKind kind) {
  return {.kind = kind,
          .lr = 0.25,
          .scale = 0.125,
          .momentum = 0.875,
          .beta2 = 0.96875,
          .eps = 0x1p-10,
          .step = 3,
          .average = 0.0625};
}

struct Options {
  bool gradient = true, share = false, average = false;
};

struct Arrays {
  explicit Arrays(unsigned seed) : bits(seed) {
    fill(value, -1, 1);
    fill(gradient, -8, 8);
    fill(state0, -1, 1);
    fill(state1, 0.25F, 1);
    fill(average, -1, 1);
    fill(share, -1, 1);
  }
  template <class Array>
  void fill(Array& array, float low, float high) {
    for (float& number : array) number = std::uniform_real_distribution<float>(low, high)(bits);
  }
  Run run(const Options& options, Index at = 0) {
    return {.value = value.data() + at,
            .gradient = options.gradient ? gradient.data() + at : nullptr,
            .state0 = state0.data() + at,
            .state1 = state1.data() + at,
            .average = options.average ? average.data() + at : nullptr};
  }
  bool operator==(const Arrays& o) const {
    return value == o.value && gradient == o.gradient && state0 == o.state0 && state1 == o.state1 &&
           average == o.average;
  }
  std::mt19937 bits;
  std::array<float, kSize> value, gradient, state0, state1, average;
  std::array<float, kBlock> share;
};

// One number's step in double, and the sizes of what is added up in it: an error of one rounding is
// at most kRounding times such a size.
struct Exact {
  Exact(const UpdateRule& rule, double decay, const Arrays& arrays, const Options& options,
        std::size_t i)
      : value(arrays.value[i]),
        state0(arrays.state0[i]),
        state1(arrays.state1[i]),
        average(arrays.average[i]) {
    const double raw = options.gradient ? static_cast<double>(arrays.gradient[i]) : 0;
    const double share = options.share ? static_cast<double>(arrays.share[i % kBlock]) : 0;
    const bool l2 = rule.kind == UpdateKind::kAdam;
    const double before = value;
    double g = rule.scale * (raw - before * share), shrink = 1 - rule.lr * decay;
    g_size = rule.scale * (std::abs(raw) + std::abs(before * share));
    if (l2) {
      g += decay * before;
      g_size += std::abs(decay * before);
      shrink = 1;
    }
    if (rule.kind == UpdateKind::kSgd || rule.kind == UpdateKind::kNag) {
      state0_size = std::abs(rule.momentum * state0) + g_size;
      state0 = rule.momentum * state0 + g;
      const bool nesterov = rule.kind == UpdateKind::kNag;
      const double change = nesterov ? g + rule.momentum * state0 : state0;
      change_size = rule.lr * (nesterov ? g_size + rule.momentum * state0_size : state0_size);
      value = before * shrink - rule.lr * change;
    } else {
      const double b1 = rule.momentum, b2 = rule.beta2, t = static_cast<double>(rule.step);
      state0_size = std::abs(b1 * state0) + (1 - b1) * g_size;
      state0 = b1 * state0 + (1 - b1) * g;
      state1_size = b2 * state1 + (1 - b2) * g_size * g_size;
      state1 = b2 * state1 + (1 - b2) * g * g;
      const double root = std::sqrt(state1 / (1 - std::pow(b2, t))) + rule.eps;
      const double step = rule.lr / (1 - std::pow(b1, t)) / root;
      value = before * shrink - step * state0;
      // The error of a root of x is half of that of x, relative.
      change_size = step * (state0_size + std::abs(state0) * state1_size / state1);
    }
    value_size = std::abs(before) + change_size;
    average_size = std::abs(average) + rule.average * value_size;
    average += rule.average * (value - average);
  }
  double value, state0, state1, average;
  double g_size = 0, value_size = 0, state0_size = 0, state1_size = 0, change_size = 0,
         average_size = 0;
};

TEST_CASE("simd: updates are those of their formulas", "[kernels]") {
  // No result takes more roundings, those of the constants included.
  constexpr double kMost = 16 * 0x1p-24;
  const double decay = GENERATE(0.0, 0.125);
  const Options options = GENERATE(Options{}, Options{.gradient = false}, Options{.share = true},
                                   Options{.average = true},
                                   Options{.gradient = false, .share = true, .average = true});
  for (const Kernels* kernels : tables()) {
    for (const UpdateKind kind : kKinds) {
      const UpdateRule rule = rule_of(kind);
      const Arrays before(1);
      Arrays after = before;
      kernels->update(PreparedStep(rule), decay, after.run(options), kSize,
                      options.share ? after.share.data() : nullptr, 1, kSize);
      const bool adam = kind == UpdateKind::kAdam || kind == UpdateKind::kAdamw;
      Index wrong = 0;
      const auto compare = [&](float got, double exact, double size) {
        if (!(std::abs(static_cast<double>(got) - exact) <= kMost * size)) ++wrong;
      };
      for (std::size_t i = 0; i < kSize; ++i) {
        const Exact exact(rule, decay, before, options, i);
        compare(after.value[i], exact.value, exact.value_size);
        compare(after.state0[i], exact.state0, exact.state0_size);
        if (adam) compare(after.state1[i], exact.state1, exact.state1_size);
        if (options.average) compare(after.average[i], exact.average, exact.average_size);
      }
      INFO("kind " << static_cast<int>(kind) << ", set " << static_cast<int>(kernels->set)
                   << ", decay " << decay << ", gradient " << options.gradient << ", share "
                   << options.share << ", average " << options.average);
      CHECK(wrong == 0);
      CHECK(after.gradient == before.gradient);
      if (!adam) CHECK(after.state1 == before.state1);
      if (!options.average) CHECK(after.average == before.average);
    }
  }
}

TEST_CASE("simd: a number's step does not depend on where in a run it stands", "[kernels]") {
  const Options options = {.average = true};
  for (const Kernels* kernels : tables()) {
    for (const UpdateKind kind : kKinds) {
      const UpdateRule rule = rule_of(kind);
      Arrays whole(2);
      Arrays alone = whole;
      kernels->update(PreparedStep(rule), 0.125, whole.run(options), kSize, nullptr, 1, kSize);
      for (Index i = 0; i < kSize; ++i) {
        kernels->update(PreparedStep(rule), 0.125, alone.run(options, i), 1, nullptr, 1, 1);
      }
      INFO("kind " << static_cast<int>(kind) << ", set " << static_cast<int>(kernels->set));
      CHECK(alone == whole);
    }
  }
}

TEST_CASE("simd: no gradient is a gradient of zeros, to the bit", "[kernels]") {
  for (const Kernels* kernels : tables()) {
    for (const UpdateKind kind : kKinds) {
      Arrays none(3);
      none.gradient.fill(0);
      Arrays zeros = none;
      kernels->update(PreparedStep(rule_of(kind)), 0.125, none.run({.gradient = false}), kSize,
                      nullptr, 1, kSize);
      kernels->update(PreparedStep(rule_of(kind)), 0.125, zeros.run({}), kSize, nullptr, 1, kSize);
      INFO("kind " << static_cast<int>(kind) << ", set " << static_cast<int>(kernels->set));
      CHECK(none == zeros);
    }
  }
}

// What the lazy updates of tables rely on.
TEST_CASE("simd: without gradient, momentum and decay, sgd and nag change no bit", "[kernels]") {
  for (const Kernels* kernels : tables()) {
    for (const UpdateKind kind : {UpdateKind::kSgd, UpdateKind::kNag}) {
      Arrays before(4);
      before.state0.fill(0);
      before.average = before.value;
      Arrays after = before;
      kernels->update(PreparedStep(rule_of(kind)), 0,
                      after.run({.gradient = false, .average = true}), kSize, nullptr, 1, kSize);
      INFO("kind " << static_cast<int>(kind) << ", set " << static_cast<int>(kernels->set));
      CHECK(after == before);
    }
  }
}

TEST_CASE("simd: a gradient that is not a number is not lost", "[kernels]") {
  for (const Kernels* kernels : tables()) {
    for (const UpdateKind kind : kKinds) {
      Arrays arrays(5);
      const std::size_t last = kSize - 1;
      arrays.gradient[3] = arrays.gradient[last] = std::nanf("");
      kernels->update(PreparedStep(rule_of(kind)), 0.125, arrays.run({}), kSize, nullptr, 1, kSize);
      for (std::size_t i = 0; i < kSize; ++i) {
        CHECK(std::isnan(arrays.value[i]) == (i == 3 || i == last));
      }
    }
  }
}

}  // namespace
}  // namespace sluice::kernels::simd
