#include "sluice/train/benchmark.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "sluice/base/aligned_buffer.h"
#include "sluice/base/memory.h"
#include "sluice/eval/evaluator.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/kernels/machine.h"
#include "sluice/model/batch_stream.h"
#include "sluice/model/sampler.h"
#include "sluice/optim/optimizer.h"
#include "sluice/train/zipf.h"

namespace sluice::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLeastRepeats = 3;
constexpr double kMostMemory = 512.0 * (1 << 20);  // bytes read past the caches
// Parts of the time, for repeats that count; the rest is for warming up and for the limits.
constexpr double kTraining = 0.5, kEvaluation = 0.15, kGeneration = 0.15;
constexpr double kCounted = kTraining + kEvaluation + kGeneration;
// Limits: so often in a part, so many readings in a row, so much of the time for one. A
// reading is short, like a repeat: a neighbour then disturbs as few of the ones as of the others.
constexpr int kTurns = 5, kReadings = 4;
constexpr double kReading = 0.0015;

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }
  // Seconds since the last lap.
  double lap() {
    const auto now = Clock::now();
    return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
  }

 private:
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
};

class Benchmark {
 public:
  Benchmark(const BenchmarkSetup& setup, ThreadPool& pool, kernels::Backend& backend,
            const BenchmarkProgress& progress)
      : setup_(setup),
        pool_(pool),
        progress_(progress),
        text_(setup.vocabulary, setup.seed),
        model_(setup.model, setup.vocabulary, backend,
               kernels::training_arrays(optim::update_kind(setup.optimizer), setup.ema_decay > 0)) {
    result_.work = benchmark_work(setup);
    result_.limits.peak_of_tiles = backend.name() == name_of(kernels::InstructionSet::kAmx);
  }

  BenchmarkResult run() {
    progress_("initial values", 0);
    model_.initialise(setup_.seed);
    if (setup_.ema_decay > 0) model_.parameters().start_averages();
    train();
    evaluate();
    allocate_memory();
    generate();
    result_.limits.product_peak = peak_.median();
    result_.limits.weights_rate = weights_rate_.median();
    result_.limits.memory_rate = memory_rate_.median();
    return result_;
  }

 private:
  // Calls repeat() for this part of the time, and at least kLeastRepeats times, in turns with
  // measure_limits(), whose time is not of it; before that, for a tenth of it and at least once,
  // without `counted`.
  template <class Repeat, class Limits>
  void repeat_for(std::string_view stage, double part, const Limits& measure_limits,
                  const Repeat& repeat) {
    const double budget = part * setup_.seconds;
    const Stopwatch warm_up;
    do {
      progress_(stage, done_);
      repeat(false);
    } while (warm_up.seconds() < budget / 10);
    double spent = 0;
    int turns = 0;
    for (int repeats = 0; repeats < kLeastRepeats || spent < budget; ++repeats) {
      const double over = std::min(1.0, spent / budget);
      progress_(stage, std::min(1.0, done_ + part * over / kCounted));
      if (turns < kTurns && over * kTurns >= turns) {
        measure_limits();
        ++turns;
      }
      const Stopwatch watch;
      repeat(true);
      spent += watch.seconds();
    }
    done_ += part / kCounted;
  }

  void measure_peak() {
    for (int i = 0; i < kReadings; ++i) {
      const double seconds = kReading * setup_.seconds;
      peak_.add((result_.limits.peak_of_tiles ? kernels::measure_tile_peak(pool_, seconds)
                                              : kernels::measure_product_peak(pool_, seconds)) /
                kernels::products_for_one(model_.backend().precision()));
    }
  }

  // After the network's memory is in use.
  void allocate_memory() {
    const double free =
        static_cast<double>(usable_memory()) - static_cast<double>(resident_memory().now);
    result_.limits.memory_bytes =
        std::max(1.0, kMostMemory * std::min({1.0, setup_.seconds, free / 4 / kMostMemory}));
    const double bytes = std::max(result_.limits.memory_bytes, result_.work.weight_bytes);
    require_memory(bytes + static_cast<double>(resident_memory().now), "measuring bandwidth");
    memory_ = AlignedBuffer(static_cast<Index>(bytes / sizeof(Real)) + 1);
  }

  void measure_reads() {
    const auto first = [&](double bytes) {
      return std::as_bytes(std::span(memory_.data(), static_cast<std::size_t>(memory_.size())))
          .first(static_cast<std::size_t>(bytes));
    };
    const auto measure = [&](double bytes) {
      return kernels::measure_read_rate(pool_, first(bytes), kReading * setup_.seconds);
    };
    memory_rate_.add(measure(result_.limits.memory_bytes));
    measure(result_.work.weight_bytes);  // the caches hold other memory
    for (int i = 0; i < kReadings; ++i) weights_rate_.add(measure(result_.work.weight_bytes));
  }

  void train() {
    const auto memory = model_.state(setup_.batch_size, positions_per_sample(), true);
    text::Batch batch;
    std::array<Samples, kPhases> phases;
    Samples whole;
    repeat_for(
        "training", kTraining, [&] { measure_peak(); },
        [&](bool counted) {
          std::array<double, kPhases> spent = {};
          step(batch, *memory, spent);
          if (!counted) return;
          for (int phase = 0; phase < kPhases; ++phase) phases[phase].add(spent[phase]);
          whole.add(std::accumulate(spent.begin(), spent.end(), 0.0));
        });
    for (int phase = 0; phase < kPhases; ++phase) {
      result_.times.phases[phase] = phases[phase].median();
    }
    result_.times.step = whole.median();
    result_.times.steps = whole.count();
  }

  Index positions_per_sample() const { return setup_.context_tokens + setup_.tokens_per_sample; }

  void step(text::Batch& batch, model::GatedConvLm::State& memory,
            std::array<double, kPhases>& spent) {
    nn::ParameterStore& store = model_.parameters();
    GradientSum sum;
    Stopwatch watch;
    const auto ended = [&](Phase phase) { spent[static_cast<std::size_t>(phase)] += watch.lap(); };
    for (Index micro = 0; micro < setup_.accumulate_steps; ++micro) {
      text_.fill(batches_++, setup_.batch_size, positions_per_sample(), batch,
                 setup_.context_tokens);
      batch.continues = setup_.carry_context && batches_ > 1;
      watch.lap();
      add_gradient(model_, batch, setup_.seed, static_cast<std::uint64_t>(updates_), memory, sum,
                   nullptr, ended);
    }
    const double norm = gradient_norm(store, sum.targets);
    ended(Phase::kNorm);
    kernels::UpdateRule rule = optim::update_rule(setup_.optimizer, 1e-3 * setup_.optimizer.lr,
                                                  sum.targets, norm, ++updates_);
    rule.average = optim::average_share(setup_.ema_decay, updates_);
    store.update(rule);
    ended(Phase::kUpdate);
  }

  void evaluate() {
    std::vector<int> same(static_cast<std::size_t>(setup_.vocabulary));
    std::iota(same.begin(), same.end(), 0);
    const text::Permutation permutation(std::move(same));
    eval::StreamEvaluator evaluator(model_, permutation, 0);
    model::Stream hidden_layers(model_, eval::kWindow);
    text::Batch window;
    Samples whole, hidden;
    repeat_for(
        "evaluation", kEvaluation, [&] { measure_peak(); },
        [&](bool counted) {
          text_.fill(batches_++, 1, eval::kWindow, window);
          Stopwatch watch;
          evaluator.add(window.targets, {});
          const double seconds = watch.lap();
          hidden_layers.feed(window.inputs);
          const double hidden_seconds = watch.lap();
          if (!counted) return;
          whole.add(seconds);
          hidden.add(hidden_seconds);
        });
    result_.times.window = whole.median();
    result_.times.window_hidden = hidden.median();
    result_.times.windows = whole.count();
  }

  void generate() {
    model_.narrow(setup_.weights);
    model::Sampler sampler({.seed = setup_.seed});
    model::Stream prompt(model_);
    model::BatchStream stream(model_);
    model::NextWords next;
    int word = text_.word(0);
    prompt.feed_prompt({&word, 1});
    model::BatchStream::Origin origin = {.prompt = &prompt};
    Samples whole, hidden, softmax, draw, read_rate;
    double read = 0;
    const auto write = [&](bool counted) {
      Stopwatch watch;
      stream.advance({&origin, 1}, {&word, 1});
      const double hidden_seconds = watch.lap();
      double draw_seconds = 0;
      stream.next(next);
      const auto drawn =
          model::draw_words(next, [&](Index, std::span<const model::WordPart> parts) {
            Stopwatch sampling;
            const model::Draw result = sampler.draw(parts);
            draw_seconds += sampling.seconds();
            return result;
          });
      const double rest_seconds = watch.lap();
      word = drawn.front().word;
      origin.prompt = nullptr;
      if (!counted) return;
      hidden.add(hidden_seconds);
      softmax.add(rest_seconds - draw_seconds);
      draw.add(draw_seconds);
      whole.add(hidden_seconds + rest_seconds);
      const double bytes = bytes_read_for(next);
      read += bytes;
      read_rate.add(bytes / (hidden_seconds + rest_seconds));
    };
    const auto limits = [&] {
      measure_reads();
      write(false);  // brings the weights back into the caches
    };
    repeat_for("generation", kGeneration, limits, write);
    result_.times.token = whole.median();
    result_.times.token_hidden = hidden.median();
    result_.times.token_softmax = softmax.median();
    result_.times.token_draw = draw.median();
    result_.times.tokens = whole.count();
    result_.times.token_read_rate = read_rate.median();
    result_.times.token_read_bytes = read / whole.count();
  }

  // Weights: the tails only that were needed.
  double bytes_read_for(const model::NextWords& next) const {
    double bytes = result_.work.weight_bytes;
    for (std::size_t tail = 0; tail < result_.work.tail_bytes.size(); ++tail) {
      if (next.known(tail + 1) == 0) bytes -= result_.work.tail_bytes[tail];
    }
    return bytes;
  }

  const BenchmarkSetup& setup_;
  ThreadPool& pool_;
  const BenchmarkProgress& progress_;
  ZipfText text_;
  model::GatedConvLm model_;
  AlignedBuffer memory_;
  std::uint64_t batches_ = 0;
  std::int64_t updates_ = 0;
  double done_ = 0;
  Samples peak_, weights_rate_, memory_rate_;
  BenchmarkResult result_;
};

// For a token, of the weights of a layer.
Index bytes_read(const model::SummaryRow& row, kernels::WeightFormat format) {
  constexpr auto kFloat = static_cast<Index>(sizeof(Real));
  if (row.part == model::Part::kEmbedding) return row.out * kFloat;
  const Index weights = row.multiply_adds, columns = row.paired ? 2 * row.out : row.out;
  // Tied words are weights of the product and parameters of the embedding.
  const Index bytes =
      weights * kernels::bytes_of(format) + std::max(row.parameters - weights, Index{0}) * kFloat;
  const bool scaled = format == kernels::WeightFormat::kInt8 && weights > 0;
  return scaled ? bytes + columns * kFloat : bytes;
}

}  // namespace

double Samples::median() const {
  if (values_.empty()) return 0;
  std::vector<double> values = values_;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

double BenchmarkResult::train_tokens_per_second() const {
  return static_cast<double>(work.step_tokens) / times.step;
}
double BenchmarkResult::eval_tokens_per_second() const {
  return static_cast<double>(work.window_tokens) / times.window;
}
double BenchmarkResult::generate_tokens_per_second() const { return 1 / times.token; }
double BenchmarkResult::train_flops_per_second() const {
  return 3 * work.flop_per_token * static_cast<double>(work.step_positions) / times.step;
}
double BenchmarkResult::eval_flops_per_second() const {
  return work.flop_per_token * eval_tokens_per_second();
}
double BenchmarkResult::generate_bytes_per_second() const { return times.token_read_rate; }

double bytes_per_written_token(const model::Summary& summary, kernels::WeightFormat format) {
  Index bytes = 0;
  for (const model::SummaryRow& row : summary.rows) bytes += bytes_read(row, format);
  return static_cast<double>(bytes);
}

double bytes_of_tail(const model::Summary& summary, kernels::WeightFormat format, int tail) {
  Index bytes = 0;
  for (const model::SummaryRow& row : summary.rows) {
    if (row.tail == tail) bytes += bytes_read(row, format);
  }
  return static_cast<double>(bytes);
}

BenchmarkWork benchmark_work(const BenchmarkSetup& setup) {
  const model::Summary summary = model::summarise(setup.model, setup.vocabulary);
  const model::OutputConfig& output = setup.model.output;
  std::vector<double> shares, tail_bytes;
  if (output.type == model::OutputType::kAdaptive) {
    shares = ZipfText(setup.vocabulary, setup.seed).tail_shares(*output.cutoffs);
  }
  for (std::size_t tail = 0; tail < shares.size(); ++tail) {
    tail_bytes.push_back(bytes_of_tail(summary, setup.weights, static_cast<int>(tail)));
  }
  return {.parameters = summary.parameters(),
          .step_tokens = setup.batch_size * setup.tokens_per_sample * setup.accumulate_steps,
          .window_tokens = eval::kWindow,
          .step_positions = setup.batch_size * (setup.context_tokens + setup.tokens_per_sample) *
                            setup.accumulate_steps,
          .flop_per_token = 2 * summary.multiply_adds(shares),
          .weight_bytes = bytes_per_written_token(summary, setup.weights),
          .tail_bytes = std::move(tail_bytes)};
}

BenchmarkResult run_benchmark(const BenchmarkSetup& setup, ThreadPool& pool,
                              kernels::Backend& backend, const BenchmarkProgress& progress) {
  return Benchmark(setup, pool, backend, progress).run();
}

}  // namespace sluice::train
