// Every backend does what the reference does, at shapes that fill no register, block or panel.
#include "tests/support/backends.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/nn/gated_layer.h"
#include "sluice/nn/norm.h"
#include "tests/support/layer_bench.h"
#include "tests/support/outcome.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

using testing::normal_values;
using testing::Outcome;

std::size_t numbers(const RowMap& map, Index channels) {
  return static_cast<std::size_t>(map.tokens() * channels);
}

UpdateRule rule_of(UpdateKind kind, std::int64_t step, double scale) {
  // An eps that a gradient's last places do not show in.
  return {.kind = kind,
          .lr = 0.05,
          .scale = scale,
          .momentum = 0.9,
          .beta2 = 0.99,
          .eps = 0.01,
          .matrix_decay = 0.1,
          .other_decay = 0.05,
          .step = step};
}

struct LayerCase {
  Index in, out, taps, dilation;
  Gate gate;
  bool weight_norm;
  RowMap map;  // its context counts from what the layer reaches
  UpdateKind kind;
};

std::ostream& operator<<(std::ostream& out, const LayerCase& c) {
  return out << c.in << " -> " << c.out << ", taps " << c.taps << ", dilation " << c.dilation
             << ", gate " << static_cast<int>(c.gate) << ", weight norm " << c.weight_norm << ", B "
             << c.map.sequences << ", T " << c.map.time << ", P " << c.map.context;
}

// All pairs of widths, taps with dilations, and gates with weight norm, each with some of the rest.
std::vector<LayerCase> layer_cases() {
  constexpr std::array<Index, 4> kWidths = {5, 16, 17, 40};
  const std::array<RowMap, 7> maps = {
      {{1, 1, 0}, {2, 7, 0}, {3, 1, 2}, {1, 33, 1}, {4, 5, 0}, {2, 16, 3}, {1, 48, 0}}};
  std::vector<LayerCase> cases;
  for (int i = 0; i < 48; ++i) {
    const auto at = static_cast<std::size_t>(i);
    LayerCase c = {.in = kWidths[at % 4],
                   .out = kWidths[at / 4 % 4],
                   .taps = 1 + (i + i / 4) % 4,
                   .dilation = 1 + i % 3,
                   .gate = static_cast<Gate>(i % kGates),
                   .weight_norm = i / kGates % 2 == 0,
                   .map = maps[at % maps.size()],
                   .kind = static_cast<UpdateKind>((i + i / 16) % 4)};
    cases.push_back(c);
  }
  // So wide and long that the vector backend multiplies less (simd/minimal_filter.h).
  cases.push_back({100, 97, 4, 1, Gate::kGlu, true, {3, 45, 1}, UpdateKind::kNag});
  cases.push_back({96, 120, 3, 1, Gate::kRelu, false, {1, 131, 0}, UpdateKind::kAdamw});
  for (LayerCase& c : cases) c.map.context += (c.taps - 1) * c.dilation;
  return cases;
}

// Three steps of a layer, the last one without a gradient of its parameters.
Outcome train_layer(const std::string& name, int threads, const LayerCase& c) {
  ThreadPool pool(threads);
  const auto backend = testing::make_backend(name, pool);
  testing::LayerBench bench(*backend, c.map, c.in);
  nn::GatedLayer layer(nn::ParameterScope(bench.store), c.in,
                       {.kernel = c.taps, .channels = c.out, .dilation = c.dilation},
                       {.gate = c.gate, .weight_norm = c.weight_norm});
  bench.open(c.out, testing::kTrainingArrays);
  layer.wire(bench.workspace, bench.out, 0);
  bench.close();
  layer.initialise(1, 0);
  testing::stir_parameters(bench.store, 2);
  Outcome result;
  for (std::uint64_t step = 1; step <= 3; ++step) {
    bench.set_input(normal_values(numbers(c.map, c.in), 10 * step, 1));
    layer.forward(bench.in, bench.out);
    result.add("output", bench.output());
    result.add("norm of the output", backend->squared_norm(*bench.out.dropped));
    const GateStatistics gates = backend->gate_statistics(bench.out);
    result.add("openness", gates.sum);
    result.add("saturated", gates.saturated);
    if (step < 3) {
      bench.start_backward(normal_values(numbers(c.map, c.out), 10 * step + 1, 1));
      layer.backward(bench.out, bench.in);
      result.add("input's gradient", bench.input_gradient());
      result.add("gradient", bench.store, Array::kGradient);
      result.add("norm of the gradient", bench.store.squared_gradient_norm());
    }
    bench.store.update(
        rule_of(c.kind, static_cast<std::int64_t>(step), 1 / static_cast<double>(c.map.tokens())));
  }
  for (const Array array : {Array::kValue, Array::kState0, Array::kState1}) {
    result.add("array " + std::to_string(static_cast<int>(array)), bench.store, array);
  }
  return result;
}

struct NormCase {
  NormShape shape;
  RowMap map;
  UpdateKind kind;
};

// Three steps of two micro-batches, the last one without a gradient, behind a stream and with
// dropout.
Outcome train_norm(const std::string& name, int threads, const NormCase& c) {
  ThreadPool pool(threads);
  const auto backend = testing::make_backend(name, pool);
  testing::LayerBench bench(*backend, c.map, c.shape.channels);
  nn::Norm norm(nn::ParameterScope(bench.store, "norm"), c.shape);
  bench.open(c.shape.channels, testing::kTrainingArrays);
  bench.in.stream = bench.workspace.stream(c.shape.channels);
  bench.out.next = {.key = 5, .rate = 0.3, .first_sequence = 2};
  norm.wire(bench.workspace, bench.out, 0);
  bench.close();
  norm.initialise();
  testing::stir_parameters(bench.store, 2);
  Outcome result;
  for (std::uint64_t step = 1; step <= 3; ++step) {
    for (const std::uint64_t part : {0, 1}) {
      const std::uint64_t seed = 10 * step + 3 * part;
      std::vector<Real> x = normal_values(numbers(c.map, c.shape.channels), seed, 2);
      for (Real& value : x) value += Real(0.5);
      bench.set_input(x);
      norm.forward(bench.in, bench.out);
      result.add("output", bench.output());
      if (step == 3) continue;
      bench.start_backward(normal_values(numbers(c.map, c.shape.channels), seed + 1, 1));
      norm.backward(bench.out, bench.in);
      result.add("input's gradient", bench.input_gradient());
    }
    result.add("gradient", bench.store, Array::kGradient);
    result.add("norm of the gradient", bench.store.squared_gradient_norm());
    bench.store.update(rule_of(c.kind, static_cast<std::int64_t>(step),
                               1 / static_cast<double>(2 * c.map.tokens())));
  }
  for (const Array array : {Array::kValue, Array::kState0, Array::kState1}) {
    result.add("array " + std::to_string(static_cast<int>(array)), bench.store, array);
  }
  return result;
}

// What is read, written and stepped of two tables whose rows are the words of one softmax, parts of
// them, or rows of an embedding, as where embedding and output are tied.
struct TableCase {
  Index width;
  bool weight_norm;
  UpdateKind kind;
};

constexpr Index kRowsOfA = 37, kRowsOfB = 50;

class Tables {
 public:
  Tables(Backend& backend, const TableCase& c)
      : backend_(backend),
        c_(c),
        a_(backend, TableShape{.rows = kRowsOfA, .width = c.width}, true),
        b_(backend, TableShape{.rows = kRowsOfB, .width = c.width}, true, c.weight_norm) {
    if (c.weight_norm) {
      const auto gains = normal_values(kRowsOfB, 5, 1);
      std::copy(gains.begin(), gains.end(), b_.g(Array::kValue));
    }
    a_.set_values(normal_values(static_cast<std::size_t>(kRowsOfA * c.width), 3, 0.3));
    b_.set_values(normal_values(static_cast<std::size_t>(kRowsOfB * c.width), 4, 0.3));
    below_.dropped = x_.get();
    below_.dz = dx_.get();
    looked_up_.dropped = y_.get();
  }

  void embed(std::uint64_t seed, Outcome& result) {
    auto ids = testing::token_batch(kMap.sequences, kMap.time, kRowsOfA, seed).inputs;
    ids[1] = ids[ids.size() - 2] = kDroppedWord;
    backend_.embed(a_.weights(), ids, looked_up_);
    result.add("rows", read(*y_));
    backend_.load(*dy_, normal_values(numbers(kMap, c_.width), seed, 1));
    backend_.embed_backward(*dy_, ids, a_.weights());
  }
  // Words: rows [a_begin, a_end) of one table and [b_begin, b_end) of the other.
  void softmax(Index a_begin, Index a_end, Index b_begin, Index b_end, std::uint64_t seed,
               Outcome& result) {
    const std::vector<TableRows> words = {{&a_.weights(), a_begin, a_end},
                                          {&b_.weights(), b_begin, b_end}};
    const Index count = words[0].size() + words[1].size();
    const auto targets = testing::token_batch(kMap.sequences, kMap.time, count, seed, 5).targets;
    backend_.load(*x_, normal_values(numbers(kMap, c_.width), seed, 1));
    std::vector<double> nats(targets.size());
    backend_.softmax_forward(*x_, words, targets, nats, nullptr);
    result.add("nats in evaluation", nats);
    backend_.softmax_forward(*x_, words, targets, nats, tape_.get());
    result.add("nats", nats);
    const std::vector<Index> some = {0, 3, 4, 12};
    std::vector<Real> log_p(some.size() * static_cast<std::size_t>(count));
    backend_.log_probabilities(*x_, words, some, log_p);
    result.add("log-probabilities", log_p);
    backend_.softmax_backward(*tape_, *x_, targets, words, below_, Into::kClose);
    result.add("input's gradient", read(*dx_));
  }
  void update(std::int64_t step, Outcome& result) {
    for (testing::WeightsBench* table : {&a_, &b_}) {
      const Index rows = table == &a_ ? kRowsOfA : kRowsOfB;
      result.add("gradient", table->read(Array::kGradient, rows * c_.width));
      result.add("norm", backend_.squared_norm(table->weights()));
      backend_.update(table->weights(), rule_of(c_.kind, step, 0.1));
    }
  }
  void read_all(Outcome& result) const {
    for (const Array array : {Array::kValue, Array::kState0, Array::kState1}) {
      const auto plain = [&](const char* name, Index rows, const Real* values) {
        result.add(name, std::vector<Real>(values, values + rows));
      };
      result.add("a", a_.read(array, kRowsOfA * c_.width));
      result.add("b", b_.read(array, kRowsOfB * c_.width));
      plain("bias of a", kRowsOfA, a_.b(array));
      plain("bias of b", kRowsOfB, b_.b(array));
      if (c_.weight_norm) plain("gain of b", kRowsOfB, b_.g(array));
    }
  }

 private:
  static constexpr RowMap kMap = {.sequences = 3, .time = 7, .context = 2};
  std::vector<Real> read(const Activations& from) const {
    std::vector<Real> values(numbers(kMap, c_.width));
    backend_.store(from, values);
    return values;
  }

  Backend& backend_;
  TableCase c_;
  testing::WeightsBench a_, b_;
  std::unique_ptr<Activations> x_ = backend_.activations(kMap, c_.width, Form::kOperand);
  std::unique_ptr<Activations> y_ = backend_.activations(kMap, c_.width, Form::kOperand);
  std::unique_ptr<Activations> dx_ = backend_.activations(kMap, c_.width, Form::kProduct);
  std::unique_ptr<Activations> dy_ = backend_.activations(kMap, c_.width, Form::kProduct);
  std::unique_ptr<SoftmaxTape> tape_ = backend_.softmax_tape();
  Junction below_, looked_up_;
};

Outcome train_tables(const std::string& name, int threads, const TableCase& c) {
  ThreadPool pool(threads);
  const auto backend = testing::make_backend(name, pool);
  Tables tables(*backend, c);
  Outcome result;
  for (std::int64_t step = 1; step <= 5; ++step) {
    const auto seed = static_cast<std::uint64_t>(10 * step);
    tables.embed(seed, result);
    if (step % 2 == 1) {
      tables.softmax(3, 36, 0, 41, seed, result);   // two micro-batches: the second adds to some
      tables.softmax(0, 19, 21, 50, seed, result);  // rows, and is the first to write others
    }
    tables.update(step, result);
  }
  tables.read_all(result);
  return result;
}

}  // namespace

TEST_CASE("Backends: layers train alike", "[kernels]") {
  for (const LayerCase& c : layer_cases()) {
    INFO(c);
    const Outcome expected = train_layer(testing::kReference, 1, c);
    for (const std::string& name : testing::backend_names()) {
      INFO(name);
      const Outcome actual = train_layer(name, 1, c);
      testing::check_close(actual, expected);
      CHECK(train_layer(name, 3, c) == actual);
    }
  }
}

// Channels that fill no register or block, and maps of one tile, of many, and of more than 32.
TEST_CASE("Backends: norms train alike", "[kernels]") {
  int number = 0;
  for (const Index channels : {5, 16, 17, 40, 100}) {
    for (const NormKind norm : {NormKind::kRms, NormKind::kLayer}) {
      for (const RowMap& map :
           {RowMap{1, 1, 0}, RowMap{3, 1, 2}, RowMap{2, 7, 0}, RowMap{3, 150, 4}}) {
        const NormCase c = {{norm, channels}, map, static_cast<UpdateKind>(number++ % 4)};
        INFO(channels << " channels, kind " << static_cast<int>(norm) << ", B " << map.sequences
                      << ", T " << map.time);
        const Outcome expected = train_norm(testing::kReference, 1, c);
        for (const std::string& name : testing::backend_names()) {
          INFO(name);
          const Outcome actual = train_norm(name, 1, c);
          testing::check_close(actual, expected);
          CHECK(train_norm(name, 3, c) == actual);
        }
      }
    }
  }
}

TEST_CASE("Backends: tables train alike, whole or in parts", "[kernels]") {
  for (const Index width : {5, 16, 17, 40}) {
    for (const bool weight_norm : {false, true}) {
      for (const auto kind : {UpdateKind::kSgd, UpdateKind::kNag, UpdateKind::kAdamw}) {
        const TableCase c = {width, weight_norm, kind};
        INFO("width " << width << ", weight norm " << weight_norm << ", update "
                      << static_cast<int>(kind));
        const Outcome expected = train_tables(testing::kReference, 1, c);
        for (const std::string& name : testing::backend_names()) {
          INFO(name);
          const Outcome actual = train_tables(name, 1, c);
          testing::check_close(actual, expected);
          CHECK(train_tables(name, 3, c) == actual);
        }
      }
    }
  }
}

}  // namespace sluice::kernels
