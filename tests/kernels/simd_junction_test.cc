#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/base/random.h"
#include "tests/support/simd_kernels.h"

// The junction's kernels of every instruction set, element by element against plain double.
namespace sluice::kernels::simd {
namespace {

constexpr Index kFirst = 5, kTotal = 40;     // first row of the tile, rows of the arrays
constexpr Index kBlocks = 3, kOneBlock = 1;  // the one that is computed: neither first nor last
constexpr float kUntouched = 777;
constexpr double kScale = 0.75;

// Blocks with more room between them than their rows take.
struct Array {
  explicit Array(Index blocks)
      : pitch((kTotal + 2) * kBlock), blocks_(blocks), memory(blocks * pitch) {
    std::fill_n(memory.data(), memory.size(), kUntouched);
  }
  void fill(std::uint64_t key, double deviation = 1) {
    for (Index i = 0; i < memory.size(); ++i) {
      const double value = deviation * normal_at(key, static_cast<std::uint64_t>(i));
      memory.data()[i] = static_cast<float>(value);
    }
  }
  Rows rows() const { return {memory.data(), pitch}; }
  double at(Index block, Index row, Index lane) const {
    return static_cast<double>(rows().at(block, row)[lane]);
  }
  Index pitch, blocks_;
  AlignedBuffer memory;
};

bool kept(const DropoutMask& mask, Index row, Index channel) {
  return mask.keys == nullptr ||
         channel_bits(mask.keys[row], static_cast<std::uint32_t>(channel)) >= mask.threshold;
}
double factor(const DropoutMask& mask, Index row, Index channel) {
  if (mask.keys == nullptr) return 1;
  return kept(mask, row, channel) ? static_cast<double>(mask.keep) : 0;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double gate_value(Gate gate, double a, double b) {
  switch (gate) {
    case Gate::kGlu:
      return a * logistic(b);
    case Gate::kGtu:
      return std::tanh(a) * logistic(b);
    case Gate::kBilinear:
      return a * b;
    case Gate::kSwiglu:
      return a * b * logistic(b);
    case Gate::kGeglu:
      return a * b * std::erfc(-b * std::sqrt(0.5)) / 2;
    case Gate::kReglu:
      return a * std::max(b, 0.0);
    case Gate::kRelu:
      return std::max(a, 0.0);
    case Gate::kTanh:
      return std::tanh(a);
    case Gate::kLinear:
      break;
  }
  return a;
}
// What kernels/gate.h says is saved.
std::array<double, 2> saved_values(Gate gate, double a, double b) {
  switch (gate) {
    case Gate::kGlu:
      return {gate_value(gate, a, b), logistic(b)};
    case Gate::kGtu:
      return {std::tanh(a), logistic(b)};
    case Gate::kRelu:
    case Gate::kTanh:
      return {gate_value(gate, a, b), 0};
    default:
      return {a, b};
  }
}
double slope_a(Gate gate, double a, double b) {
  return (gate_value(gate, a + 1e-5, b) - gate_value(gate, a - 1e-5, b)) / 2e-5;
}
double slope_b(Gate gate, double a, double b) {
  return (gate_value(gate, a, b + 1e-5) - gate_value(gate, a, b - 1e-5)) / 2e-5;
}

enum Part : unsigned {
  kProducer,
  kResidual,
  kResidualProducer,
  kSelf,
  kNext,
  kStream,
  kPlain,
  kDropped,
  kSaved,
  kDy,
  kDdropped,
  kDresidual,
  kAdds,
  kDz,
  kSums,
  kParts
};

// A junction with some of its parts, one tile of it, and what the kernels wrote.
struct Subject {
  Subject(Gate g, unsigned p, Index row_count) : gate(g), parts(p), rows(row_count) {
    for (Index i = 0; i < kTotal; ++i) {
      const auto t = static_cast<std::uint64_t>(i);
      keys[0].push_back(row_key(11, 3, t));
      keys[1].push_back(row_key(12, 3, t));
      token.push_back(i % 6 == 0 ? -1 : static_cast<std::int32_t>(i));
    }
    std::uint64_t key = 100;
    for (AlignedBuffer* vectors : {&scales, &biases, &residual_scales, &residual_biases}) {
      ++key;
      for (Index i = 0; i < vectors->size(); ++i) {
        vectors->data()[i] = static_cast<float>(normal_at(key, static_cast<std::uint64_t>(i)));
      }
    }
    residual.fill(1);
    dy.fill(2);
    ddropped.fill(3);
    tile.fill(4, 2);
    view.gate = gate;
    view.scale = static_cast<float>(kScale);
    view.token = token.data();
    if (has(kProducer)) view.scales = scales.data(), view.biases = biases.data();
    if (has(kResidualProducer)) {
      view.residual_scales = residual_scales.data();
      view.residual_biases = residual_biases.data();
    }
    if (has(kSelf)) view.self = {keys[0].data(), dropout_threshold(0.25), 1 / 0.75F};
    if (has(kNext)) view.next = {keys[1].data(), dropout_threshold(0.4), 1 / 0.6F};
    if (has(kResidual)) view.residual = residual.rows();
    if (has(kStream)) view.stream = stream.rows();
    if (has(kPlain)) view.plain = plain.rows();
    if (has(kDropped)) view.dropped = dropped.rows();
    if (has(kSaved)) view.saved = saved.rows();
    if (has(kDy)) view.dy = dy.rows();
    if (has(kDdropped)) view.ddropped = ddropped.rows();
    if (has(kDresidual)) view.dresidual = dresidual.rows();
    if (has(kDz)) view.dz = dz.rows();
    view.adds_residual = has(kAdds);
  }
  bool has(Part part) const { return (parts >> part & 1U) != 0; }
  bool paired() const { return is_paired(gate); }
  Index half(Index block, Index which) const { return paired() ? 2 * block + which : block; }
  // With respect to gate(z) + residual.
  double gradient(Index r, Index lane) const {
    const Index row = kFirst + r, channel = kOneBlock * kBlock + lane;
    double d = static_cast<double>(tile_row(r)[lane]);
    if (has(kDdropped)) d += ddropped.at(kOneBlock, row, lane);
    d *= factor(view.next, row, channel);
    if (has(kDy)) d += dy.at(kOneBlock, row, lane);
    return d * factor(view.self, row, channel) * kScale;
  }
  // a and b of block kOneBlock, as blocks 0 and 1, from which `saved` follows.
  Array save_random_inputs() {
    Array inputs(2);
    inputs.fill(9);
    for (Index row = 0; row < kTotal; ++row) {
      for (Index lane = 0; lane < kBlock; ++lane) {
        const std::array<double, 2> values =
            saved_values(gate, inputs.at(0, row, lane), inputs.at(1, row, lane));
        for (Index which = 0; which < (paired() ? 2 : 1); ++which) {
          const double value = values[static_cast<std::size_t>(which)];
          saved.rows().at(half(kOneBlock, which), row)[lane] = static_cast<float>(value);
        }
      }
    }
    view.saved = saved.rows();
    return inputs;
  }
  const float* tile_row(Index r) const { return tile.memory.data() + r * kPanel; }
  double z(Index block, Index r, Index lane, Index which) const {
    const double product = static_cast<double>(tile_row(r)[which * kBlock + lane]);
    const Index i = half(block, which) * kBlock + lane;
    if (!has(kProducer)) return product;
    return product * static_cast<double>(scales.data()[i]) + static_cast<double>(biases.data()[i]);
  }

  Gate gate;
  unsigned parts;
  Index rows;
  std::vector<RowKey> keys[2];
  std::vector<std::int32_t> token;
  AlignedBuffer scales{2 * kBlocks * kBlock}, biases{2 * kBlocks * kBlock};
  AlignedBuffer residual_scales{kBlocks * kBlock}, residual_biases{kBlocks * kBlock};
  Array residual{kBlocks}, stream{kBlocks}, plain{kBlocks}, dropped{kBlocks}, saved{2 * kBlocks};
  Array dy{kBlocks}, ddropped{kBlocks}, dresidual{kBlocks}, dz{2 * kBlocks}, tile{2};
  JunctionView view;
};

// The worst error of an array relative to the values' size, and whether anything else was written.
struct Difference {
  explicit Difference(const Array& of) : array(of), seen(of.memory.size()) {}
  void expect(Index block, Index row, Index lane, double value) {
    const Index i = block * array.pitch + row * kBlock + lane;
    seen.data()[i] = 1;
    const double error = std::abs(array.at(block, row, lane) - value) / (1 + std::abs(value));
    if (!(error <= worst)) worst = error;  // a NaN is the worst
  }
  bool rest_untouched(const AlignedBuffer* before = nullptr) const {
    for (Index i = 0; i < seen.size(); ++i) {
      const float old = before == nullptr ? kUntouched : before->data()[i];
      if (seen.data()[i] == 0 && array.memory.data()[i] != old) return false;
    }
    return true;
  }
  const Array& array;
  AlignedBuffer seen;
  double worst = 0;
};

// Phi's approximation is the coarsest of all functions, and multiplied by a b.
double tolerance(Gate gate) { return gate == Gate::kGeglu ? 3e-6 : 1e-6; }

void check_forward(const Kernels& kernels, Gate gate, unsigned parts, Index rows) {
  Subject s(gate, parts, rows);
  kernels.junction_forward(s.view, kOneBlock, kFirst, rows, s.tile_row(0), s.tile_row(0) + kBlock);
  Difference stream(s.stream), plain(s.plain), dropped(s.dropped), saved(s.saved);
  bool masks = true;
  for (Index r = 0; r < rows; ++r) {
    const Index row = kFirst + r;
    if (s.token[static_cast<std::size_t>(row)] < 0) continue;
    for (Index lane = 0; lane < kBlock; ++lane) {
      const Index channel = kOneBlock * kBlock + lane;
      const double a = s.z(kOneBlock, r, lane, 0), b = s.z(kOneBlock, r, lane, 1);
      double y = gate_value(gate, a, b);
      if (s.has(kResidual)) {
        const double in = s.residual.at(kOneBlock, row, lane);
        y += s.has(kResidualProducer)
                 ? in * static_cast<double>(s.residual_scales.data()[channel]) +
                       static_cast<double>(s.residual_biases.data()[channel])
                 : in;
      }
      y *= kScale * factor(s.view.self, row, channel);
      const double next = y * factor(s.view.next, row, channel);
      if (s.has(kStream)) stream.expect(kOneBlock, row, lane, y);
      if (s.has(kPlain)) plain.expect(kOneBlock, row, lane, y);
      if (s.has(kDropped)) {
        dropped.expect(kOneBlock, row, lane, next);
        // Some values are too small for a float.
        if (std::abs(y) > 1e-30 || next == 0) {
          masks &= (s.dropped.at(kOneBlock, row, lane) == 0) == (next == 0);
        }
      }
      if (!s.has(kSaved)) continue;
      const std::array<double, 2> kept_values = saved_values(gate, a, b);
      for (Index i = 0; i < saved_per_channel(gate); ++i) {
        saved.expect(s.half(kOneBlock, i), row, lane, kept_values[static_cast<std::size_t>(i)]);
      }
    }
  }
  CHECK(masks);
  for (const Difference* array : {&stream, &plain, &dropped, &saved}) {
    CHECK(array->worst < tolerance(gate));
    CHECK(array->rest_untouched());
  }
}

double worst_difference(const std::vector<double>& expected, const AlignedBuffer& found) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(expected[i] - static_cast<double>(found.data()[i])));
  }
  return worst;
}

void check_backward(const Kernels& kernels, Gate gate, unsigned parts, Index rows) {
  Subject s(gate, parts, rows);
  const Array inputs = s.save_random_inputs();
  if (s.has(kAdds)) s.dresidual.fill(7);
  Array before(kBlocks);
  std::copy_n(s.dresidual.memory.data(), before.memory.size(), before.memory.data());
  AlignedBuffer producer(2 * kBlocks * kBlock), residual(kBlocks * kBlock);
  std::fill_n(producer.data(), producer.size(), 0.5F);
  std::fill_n(residual.data(), residual.size(), 0.25F);
  BiasSums sums;
  if (s.has(kSums)) sums = {producer.data(), residual.data()};
  kernels.junction_backward(s.view, kOneBlock, kFirst, rows, s.tile_row(0), sums);

  Difference dz(s.dz), dresidual(s.dresidual);
  std::vector<double> sum(static_cast<std::size_t>(producer.size()), 0.5);
  std::vector<double> residual_sum(static_cast<std::size_t>(residual.size()), 0.25);
  for (Index r = 0; r < rows; ++r) {
    const Index row = kFirst + r;
    if (s.token[static_cast<std::size_t>(row)] < 0) continue;
    for (Index lane = 0; lane < kBlock; ++lane) {
      const Index channel = kOneBlock * kBlock + lane;
      const double d = s.gradient(r, lane);
      if (s.has(kDresidual)) {
        const double scale =
            s.has(kResidualProducer) ? static_cast<double>(s.residual_scales.data()[channel]) : 1;
        const double old = s.has(kAdds) ? before.at(kOneBlock, row, lane) : 0;
        dresidual.expect(kOneBlock, row, lane, old + d * scale);
        residual_sum[static_cast<std::size_t>(channel)] += d;
      }
      if (!s.has(kDz)) continue;
      const double a = inputs.at(0, row, lane), b = inputs.at(1, row, lane);
      const double gradients[2] = {d * slope_a(gate, a, b), d * slope_b(gate, a, b)};
      for (Index which = 0; which < (s.paired() ? 2 : 1); ++which) {
        const Index i = s.half(kOneBlock, which) * kBlock + lane;
        sum[static_cast<std::size_t>(i)] += gradients[which];
        const double scale = s.has(kProducer) ? static_cast<double>(s.scales.data()[i]) : 1;
        dz.expect(s.half(kOneBlock, which), row, lane, gradients[which] * scale);
      }
    }
  }
  CHECK(dz.worst < tolerance(gate));
  CHECK(dresidual.worst < 1e-6);
  CHECK(dz.rest_untouched());
  CHECK(dresidual.rest_untouched(&before.memory));
  if (!s.has(kSums)) return;
  CHECK(worst_difference(sum, producer) < 1e-4);
  CHECK(worst_difference(residual_sum, residual) < 1e-4);
}

// All parts, none, all but one, only one.
std::vector<unsigned> combinations() {
  const unsigned all = (1U << kParts) - 1;
  std::vector<unsigned> out = {all, 0};
  for (unsigned part = 0; part < kParts; ++part) {
    out.push_back(all & ~(1U << part));
    out.push_back(1U << part);
    out.push_back(1U << part | 1U << kDropped | 1U << kDresidual | 1U << kDz);
  }
  return out;
}

}  // namespace

TEST_CASE("SIMD junction: forward is its equations, for every gate and part", "[kernels]") {
  REQUIRE(!testing::simd_kernels().empty());
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (int gate = 0; gate < kGates; ++gate) {
      for (const unsigned parts : combinations()) {
        INFO("set " << static_cast<int>(kernels->set) << ", gate " << gate << ", parts " << parts);
        for (const Index rows : {1, 28}) {
          check_forward(*kernels, static_cast<Gate>(gate), parts, rows);
        }
      }
    }
  }
}

TEST_CASE("SIMD junction: backward is its equations, for every gate and part", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    for (int gate = 0; gate < kGates; ++gate) {
      for (const unsigned parts : combinations()) {
        INFO("set " << static_cast<int>(kernels->set) << ", gate " << gate << ", parts " << parts);
        for (const Index rows : {1, 28}) {
          check_backward(*kernels, static_cast<Gate>(gate), parts, rows);
        }
      }
    }
  }
}

TEST_CASE("SIMD junction: a NaN shows even where dropout takes it", "[kernels]") {
  for (const Kernels* kernels : testing::simd_kernels()) {
    AlignedBuffer tile(kPanel), dropped(kBlock);
    std::fill_n(tile.data(), kBlock, std::numeric_limits<float>::quiet_NaN());
    const std::int32_t token = 0;
    const RowKey key = row_key(1, 0, 0);
    JunctionView view;
    view.token = &token;
    view.next = {&key, dropout_threshold(0.5), 2};
    view.dropped = {dropped.data(), kBlock};
    kernels->junction_forward(view, 0, 0, 1, tile.data(), nullptr);
    CHECK(std::all_of(dropped.data(), dropped.data() + kBlock,
                      [](float value) { return std::isnan(value); }));
  }
}

}  // namespace sluice::kernels::simd
