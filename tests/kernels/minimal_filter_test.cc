// Convolutions by minimal filtering: the three passes against double loops, and where they are
// used.
#include "src/kernels/simd/minimal_filter.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "src/kernels/simd/simd_backend.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/simd_kernels.h"
#include "tests/support/tiny_model.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels::simd {
namespace {

using testing::normal_values;

double element(const std::vector<float>& matrix, Index at) {
  return static_cast<double>(matrix[static_cast<std::size_t>(at)]);
}

struct Case {
  ConvShape shape;
  RowMap map;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.shape.in << " -> " << c.shape.out << ", taps " << c.shape.taps << ", paired "
             << c.shape.paired << ", B " << c.map.sequences << ", T " << c.map.time << ", P "
             << c.map.context;
}

// All taps, with widths that fill no block and lengths around those of a window and a tile; the
// last ones have so many channels that they are not multiplied at all points at once.
std::vector<Case> cases() {
  constexpr std::array<Index, 4> kWidths = {5, 16, 17, 40};
  const std::array<RowMap, 8> maps = {{{1, 1, 0},
                                       {3, 2, 0},
                                       {1, 3, 2},
                                       {2, 7, 0},
                                       {1, 100, 1},
                                       {5, 33, 0},
                                       {1, 170, 0},
                                       {2, 1, 3}}};
  std::vector<Case> all;
  for (int i = 0; i < 32; ++i) {
    const auto at = static_cast<std::size_t>(i);
    Case c = {{.in = kWidths[at % 4],
               .out = kWidths[at / 4 % 4],
               .taps = 2 + (i + i / 4) % 4,
               .paired = i / 8 % 2 == 0},
              maps[(at + at / 8) % maps.size()]};
    all.push_back(c);
  }
  for (const auto& [in, out] :
       {std::pair<Index, Index>{1000, 8}, {8, 1300}, {1700, 3}, {3, 1700}}) {
    all.push_back({{.in = in, .out = out, .taps = 4}, {.sequences = 2, .time = 50, .context = 0}});
  }
  for (Case& c : all) c.map.context += c.shape.reach();
  return all;
}

// One convolution with random numbers, in logical order, and what its passes make of them.
class Passes {
 public:
  Passes(const Case& c, const Kernels& kernels, int threads)
      : c_(c),
        pool_(threads),
        backend_(make_simd_backend(pool_, kernels, RowUpdates::kLazy)),
        filter_(pool_, kernels),
        weights_(*backend_, c.shape, false),
        x_(normal_values(numbers(c.shape.in), 1, 1)),
        dz_(normal_values(numbers(c.shape.columns()), 2, 1)),
        v_(normal_values(static_cast<std::size_t>(c.shape.elements()), 3, 1)),
        rows_of_x_(rows(c.shape.in, Form::kOperand, x_)),
        rows_of_dz_(rows(c.shape.columns(), Form::kProduct, dz_)) {
    weights_.set_values(v_);
  }

  std::vector<float> forward() {
    const auto z = rows(c_.shape.columns(), Form::kProduct, {});
    filter_.forward(*rows_of_x_, w(), [&](Index, Index panel, const Tile& tile, const float* from) {
      take(*z, panel, tile, from);
    });
    return read(*z);
  }
  std::vector<float> backward_data() {
    const auto dx = rows(c_.shape.in, Form::kGradient, {});
    const Index groups = filter_.groups(c_.shape, *rows_of_dz_, w().column_blocks);
    filter_.backward_data(*rows_of_dz_, w(),
                          [&](Index group, Index panel, const Tile& tile, const float* from) {
                            if (group < groups) take(*dx, panel, tile, from);
                          });
    return read(*dx);
  }
  // Adds to what there is, in four parts.
  std::vector<float> backward_weights() {
    const Chunks panels = {w().panels, (w().panels + 1) / 2};
    const Chunks blocks = {w().input_blocks, (w().input_blocks + 1) / 2};
    filter_.prepare_gradient(*rows_of_x_, w(), panels.size, blocks.size);
    pool_.run(panels.count() * blocks.count(), [&](Index chunk, int worker) {
      const Index panel = chunk / blocks.count(), block = chunk % blocks.count();
      filter_.gradient(*rows_of_dz_, w(),
                       {.first_panel = panels.begin(panel),
                        .end_panel = panels.end(panel),
                        .first_block = blocks.begin(block),
                        .end_block = blocks.end(block)},
                       worker);
    });
    w().has_gradient = true;
    return weights_.read(Array::kGradient, c_.shape.elements());
  }

  // The three by the direct kernels, which the backend takes for so few channels.
  std::array<std::vector<float>, 3> direct() {
    const auto z = rows(c_.shape.columns(), Form::kOperand, {});
    const auto dx = rows(c_.shape.in, Form::kProduct, {});
    Junction below, out;
    out.plain = z.get();
    backend_->conv_forward(*rows_of_x_, w(), out);
    below.dropped = rows_of_x_.get();
    below.dz = dx.get();
    backend_->conv_backward_data(*rows_of_dz_, w(), below, Into::kClose);
    backend_->conv_backward_weights(*rows_of_x_, *rows_of_dz_, w());
    return {read(*z), read(*dx), weights_.read(Array::kGradient, c_.shape.elements())};
  }

  // The same in double. Rows in front of a sequence are zero.
  std::vector<double> exact_forward() const {
    return sums(c_.map.tokens() * c_.shape.columns(),
                [&](const Term& t) { return std::pair(t.out, at(x_, t.in) * at(v_, t.weight)); });
  }
  std::vector<double> exact_backward_data() const {
    return sums(c_.map.tokens() * c_.shape.in,
                [&](const Term& t) { return std::pair(t.in, at(dz_, t.out) * at(v_, t.weight)); });
  }
  std::vector<double> exact_backward_weights() const {
    return sums(c_.shape.elements(),
                [&](const Term& t) { return std::pair(t.weight, at(x_, t.in) * at(dz_, t.out)); });
  }

 private:
  // Positions in x and dx, in v and dv, in z and dz.
  struct Term {
    Index in, weight, out;
  };

  std::size_t numbers(Index channels) const {
    return static_cast<std::size_t>(c_.map.tokens() * channels);
  }
  static double at(const std::vector<float>& values, Index i) {
    return static_cast<double>(values[static_cast<std::size_t>(i)]);
  }
  ProductWeights& w() const { return static_cast<ProductWeights&>(weights_.weights()); }

  // Without values not-a-numbers.
  std::unique_ptr<BlockedActivations> rows(Index channels, Form form,
                                           const std::vector<float>& values) const {
    auto out = std::make_unique<BlockedActivations>(c_.map, channels, form, kMostRows);
    out->paired = form == Form::kProduct && c_.shape.paired;
    each_number(*out, [&](float& number, std::size_t i) {
      number = values.empty() ? std::nanf("") : values[i];
    });
    return out;
  }
  static std::vector<float> read(const BlockedActivations& x) {
    std::vector<float> values(static_cast<std::size_t>(x.tokens() * x.channels()));
    each_number(x, [&](float number, std::size_t i) { values[i] = number; });
    return values;
  }
  template <class Visit>
  static void each_number(const BlockedActivations& x, const Visit& visit) {
    for (Index row = 0; row < x.span(); ++row) {
      const Index token = x.token_of()[static_cast<std::size_t>(row)];
      for (Index c = 0; token >= 0 && c < x.channels(); ++c) {
        visit(x.value(row, c), static_cast<std::size_t>(token * x.channels() + c));
      }
    }
  }
  static void take(const BlockedActivations& to, Index panel, const Tile& tile, const float* from) {
    for (Index half = 0; half < 2 && 2 * panel + half < to.used_blocks(); ++half) {
      for (Index r = 0; r < tile.rows; ++r) {
        std::copy_n(from + r * kPanel + half * kBlock, kBlock,
                    to.at(2 * panel + half, tile.row + r));
      }
    }
  }

  template <class Product>
  std::vector<double> sums(Index size, const Product& product) const {
    std::vector<double> out(static_cast<std::size_t>(size));
    const Index in = c_.shape.in, columns = c_.shape.columns();
    for (Index token = 0; token < c_.map.tokens(); ++token) {
      for (Index tap = 0; tap < c_.shape.taps; ++tap) {
        const Index back = c_.shape.taps - 1 - tap;
        if (token % c_.map.time < back) continue;
        for (Index i = 0; i < in * columns; ++i) {
          const auto [place, value] =
              product(Term{(token - back) * in + i / columns, tap * in * columns + i,
                           token * columns + i % columns});
          out[static_cast<std::size_t>(place)] += value;
        }
      }
    }
    return out;
  }

  Case c_;
  ThreadPool pool_;
  std::unique_ptr<Backend> backend_;
  MinimalFilter filter_;
  testing::WeightsBench weights_;
  std::vector<float> x_, dz_, v_;
  std::unique_ptr<BlockedActivations> rows_of_x_, rows_of_dz_;
};

// Of the largest number. Twice what is seen in sums of 1700 x 4 terms; others stay below 1e-6.
constexpr double kTolerance = 6e-6;

double difference(const std::vector<float>& actual, const std::vector<double>& expected,
                  double factor = 1) {
  REQUIRE(actual.size() == expected.size());
  double most = 0, largest = 1e-30;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - factor * expected[i]);
    if (!(error <= most)) most = error;  // not-a-numbers stay
    largest = std::max(largest, std::abs(factor * expected[i]));
  }
  return most / largest;
}

double rms_error(const std::vector<float>& actual, const std::vector<double>& expected) {
  double sum = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = static_cast<double>(actual[i]) - expected[i];
    sum += error * error;
  }
  return std::sqrt(sum / static_cast<double>(actual.size()));
}

}  // namespace

TEST_CASE("Minimal filter: the matrices make a convolution of few products", "[kernels]") {
  for (Index taps = 2; taps <= 5; ++taps) {
    const FilterMatrices matrices(taps);
    INFO(taps << " taps");
    REQUIRE(matrices.outputs + taps == kPoints + 1);
    // y_o = sum over points p of A_op F_pk D_pi for all k and i: 1 where i = o + k, else 0.
    for (Index o = 0; o < matrices.outputs; ++o) {
      for (Index k = 0; k < taps; ++k) {
        for (Index i = 0; i < kPoints; ++i) {
          double sum = 0, transposed = 0;
          for (Index p = 0; p < kPoints; ++p) {
            sum += element(matrices.output, o * kPoints + p) *
                   element(matrices.filter, p * taps + k) *
                   element(matrices.input, p * kPoints + i);
            transposed += element(matrices.output_transposed, p * matrices.outputs + o) *
                          element(matrices.filter_transposed, k * kPoints + p) *
                          element(matrices.input, p * kPoints + i);
          }
          CHECK(sum == Approx(i == o + k ? 1 : 0).margin(1e-6));
          CHECK(transposed == sum);
        }
      }
    }
  }
}

TEST_CASE("Minimal filter: lines are combined, set and added", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (Index inputs = 1; inputs <= kMostCombined; ++inputs) {
      constexpr Index kOutputs = 3, kLines = 5, kWidth = kLines * kBlock;
      const auto in = normal_values(static_cast<std::size_t>(inputs * kWidth), 1, 1);
      const auto factors = normal_values(static_cast<std::size_t>(kOutputs * inputs), 2, 1);
      const auto before = normal_values(kOutputs * kWidth + kBlock, 3, 1);
      for (const bool add : {false, true}) {
        auto out = before;
        // Inputs beside each other line by line, outputs one after the other.
        kernels->combine({.in = in.data(),
                          .in_pitch = kBlock,
                          .in_step = inputs * kBlock,
                          .inputs = inputs,
                          .out = out.data(),
                          .out_pitch = kWidth,
                          .out_step = kBlock,
                          .outputs = kOutputs,
                          .factors = factors.data(),
                          .factor_pitch = inputs,
                          .lines = kLines,
                          .add = add});
        std::vector<double> expected(before.begin(), before.end());
        for (Index i = 0; i < kOutputs * kWidth; ++i) {
          const Index o = i / kWidth, line = i % kWidth / kBlock, lane = i % kBlock;
          double& sum = expected[static_cast<std::size_t>(i)];
          if (!add) sum = 0;
          for (Index k = 0; k < inputs; ++k) {
            sum +=
                element(factors, o * inputs + k) * element(in, (line * inputs + k) * kBlock + lane);
          }
        }
        INFO(inputs << " inputs, set " << static_cast<int>(kernels->set) << ", add " << add);
        CHECK(difference(out, expected) < 1e-6);
      }
    }
  }
}

TEST_CASE("Minimal filter: the passes are those of double loops, on any number of threads",
          "[kernels]") {
  for (const Case& c : cases()) {
    INFO(c);
    std::vector<std::vector<double>> exact;
    for (const Kernels* kernels : testing::simd_kernels()) {
      INFO("set " << static_cast<int>(kernels->set));
      Passes passes(c, *kernels, 1), threaded(c, *kernels, 3);
      if (exact.empty()) {
        exact = {passes.exact_forward(), passes.exact_backward_data(),
                 passes.exact_backward_weights()};
      }
      const auto z = passes.forward(), dx = passes.backward_data();
      const auto once = passes.backward_weights(), twice = passes.backward_weights();
      CHECK(difference(z, exact[0]) < kTolerance);
      CHECK(difference(dx, exact[1]) < kTolerance);
      CHECK(difference(once, exact[2]) < kTolerance);
      CHECK(difference(twice, exact[2], 2) < kTolerance);
      CHECK(threaded.forward() == z);
      CHECK(threaded.backward_data() == dx);
      CHECK(threaded.backward_weights() == once);
      CHECK(threaded.backward_weights() == twice);
    }
  }
}

// What the header states: about 1.5 times.
TEST_CASE("Minimal filter: rounding errors are at most twice those of the direct form",
          "[kernels]") {
  const Case c = {{.in = 64, .out = 48, .taps = 4}, {.sequences = 2, .time = 600, .context = 3}};
  for (const Kernels* kernels : testing::simd_kernels()) {
    Passes plain(c, *kernels, 2), minimal(c, *kernels, 2);
    const std::array exact = {plain.exact_forward(), plain.exact_backward_data(),
                              plain.exact_backward_weights()};
    const auto direct = plain.direct();
    const std::array few = {minimal.forward(), minimal.backward_data(), minimal.backward_weights()};
    for (std::size_t i = 0; i < few.size(); ++i) {
      const double ratio = rms_error(few[i], exact[i]) / rms_error(direct[i], exact[i]);
      INFO("set " << static_cast<int>(kernels->set) << ", pass " << i);
      CHECK(ratio < 2);
      CHECK(ratio > 0.5);
      CHECK(few[i] != direct[i]);
    }
  }
}

// Whose rows would otherwise depend on what stands beside them.
TEST_CASE("Minimal filter: training takes it, evaluation does not", "[kernels]") {
  constexpr Index kChannels = 100, kTime = 140;
  const ConvShape shape = {.in = kChannels, .out = kChannels, .taps = 4, .paired = true};
  const auto values = normal_values(2 * kTime * kChannels, 1, 1);
  for (const Kernels* kernels : testing::simd_kernels()) {
    INFO("set " << static_cast<int>(kernels->set));
    ThreadPool pool(2);
    const auto backend = make_simd_backend(pool, *kernels, RowUpdates::kLazy);
    testing::WeightsBench weights(*backend, shape, false);
    weights.set_values(normal_values(static_cast<std::size_t>(shape.elements()), 2, 0.1));
    const auto forward = [&](std::span<const Real> in, Index sequences, bool training) {
      const RowMap map = {.sequences = sequences,
                          .time = static_cast<Index>(in.size()) / kChannels / sequences,
                          .context = shape.reach()};
      const auto x = backend->activations(map, kChannels, Form::kOperand);
      const auto y = backend->activations(map, kChannels, Form::kOperand);
      const auto saved = backend->activations(map, 2 * kChannels, Form::kSaved);
      backend->load(*x, in);
      Junction out;
      out.producer = &weights.weights();
      out.gate = Gate::kGlu;
      out.dropped = y.get();
      if (training) out.saved = saved.get();
      backend->conv_forward(*x, weights.weights(), out);
      std::vector<Real> result(in.size());
      backend->store(*y, result);
      return result;
    };
    const std::vector<Real> both = forward(values, 2, false), trained = forward(values, 2, true);
    CHECK(trained != both);
    CHECK(testing::relative_difference(trained, both) < 1e-5);
    for (const Index rows : {Index{1}, Index{2}, Index{139}, kTime}) {
      const auto part = std::span(values).first(static_cast<std::size_t>(rows * kChannels));
      const std::vector<Real> alone = forward(part, 1, false);
      CHECK(std::equal(alone.begin(), alone.end(), both.begin()));
    }
  }
}

}  // namespace sluice::kernels::simd
