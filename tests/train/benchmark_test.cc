#include "sluice/train/benchmark.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "sluice/kernels/instruction_set.h"
#include "sluice/model/gated_conv_lm.h"
#include "tests/support/tiny_model.h"

namespace sluice::train {
namespace {

using testing::block;
using testing::tiny_config;

BenchmarkSetup tiny_setup() {
  BenchmarkSetup setup = {
      .model = tiny_config(6, {block({{.kernel = 3, .channels = 8}}, 2)}),
      .vocabulary = 50,
      .batch_size = 2,
      .tokens_per_sample = 5,
      .seconds = 0.05,
  };
  setup.model.output.type = model::OutputType::kAdaptive;
  setup.model.output.cutoffs = {20, 30};
  setup.model.output.tail_div = 2;
  setup.model.dropout = testing::all_dropout(0.1);
  return setup;
}

TEST_CASE("Samples: the median of what was added", "[train]") {
  Samples samples;
  CHECK(samples.median() == 0);
  for (const double value : {5.0, 1.0, 100.0}) samples.add(value);
  CHECK(samples.median() == 5);
  samples.add(2);
  CHECK(samples.median() == 3.5);  // of 1, 2, 5, 100
  CHECK(samples.count() == 4);
}

TEST_CASE("BenchmarkResult: rates are quotients of work and time", "[train]") {
  BenchmarkResult result;
  result.work = {.step_tokens = 200,
                 .window_tokens = 1000,
                 .step_positions = 300,
                 .flop_per_token = 7,
                 .weight_bytes = 4000};
  result.times.step = 0.5;
  result.times.window = 0.25;
  result.times.token = 0.01;
  result.times.token_read_rate = 300000;
  CHECK(result.train_tokens_per_second() == 400);
  CHECK(result.train_flops_per_second() == 3 * 7 * 600);
  CHECK(result.eval_tokens_per_second() == 4000);
  CHECK(result.eval_flops_per_second() == 7 * 4000);
  CHECK(result.generate_tokens_per_second() == Approx(100));
  CHECK(result.generate_bytes_per_second() == 300000);
}

TEST_CASE("benchmark_work: counted by hand, tails by the share of their words", "[train]") {
  const BenchmarkWork work = benchmark_work(tiny_setup());
  CHECK(work.step_tokens == 10);
  CHECK(work.step_positions == 10);
  BenchmarkSetup reading = tiny_setup();
  reading.context_tokens = 3;
  reading.accumulate_steps = 2;
  CHECK(benchmark_work(reading).step_tokens == 20);
  CHECK(benchmark_work(reading).step_positions == 32);
  double total = 0;
  std::vector<double> mass;
  for (int w = 0; w < 50; ++w) total += mass.emplace_back(1 / (w + 10.0));
  const double first = std::accumulate(mass.begin() + 20, mass.begin() + 30, 0.0) / total;
  const double second = std::accumulate(mass.begin() + 30, mass.end(), 0.0) / total;
  // Input projection, two layers, head with two clusters; each tail its projection and its words.
  const double all = 6 * 8 + 2 * 3 * 8 * 16 + 8 * 22;
  CHECK(work.flop_per_token ==
        Approx(2 * (all + first * (8 * 4 + 4 * 10) + second * (8 * 2 + 2 * 20))));
  // Every weight but the embedding's, of which a row; biases and gains of the products.
  const double biases = 2 * 8 + 2 * 2 * 16;
  CHECK(work.weight_bytes == 4 * (6 + all + biases + 8 * 4 + 4 * 10 + 8 * 2 + 2 * 20));
  CHECK(work.tail_bytes == std::vector<double>{4 * (8 * 4 + 4 * 10), 4 * (8 * 2 + 2 * 20)});
  CHECK(work.parameters == 50 * 6 + static_cast<Index>(work.weight_bytes / 4) - 6);
}

TEST_CASE("bytes_per_written_token: tied words are read all the same", "[train]") {
  model::ModelConfig config = tiny_config(8, {block({{.kernel = 3, .channels = 8}})});
  config.output.bias = false;
  const auto bytes = [&](kernels::WeightFormat format) {
    return bytes_per_written_token(model::summarise(config, 50), format);
  };
  const double untied = bytes(kernels::WeightFormat::kFloat32);
  CHECK(untied == 4 * (8 + 3 * 8 * 16 + 2 * 16 + 50 * 8));
  // The row of the embedding, biases and gains stay floats; int8 has a scale per column and word.
  const double weights = 3 * 8 * 16 + 50 * 8, rest = 4 * (8 + 2 * 16);
  CHECK(bytes(kernels::WeightFormat::kBfloat16) == 2 * weights + rest);
  CHECK(bytes(kernels::WeightFormat::kInt8) == weights + rest + 4 * (16 + 50));
  config.output.tied = true;
  CHECK(bytes(kernels::WeightFormat::kFloat32) == untied);
}

TEST_CASE("run_benchmark: measures everything, three times at least", "[train]") {
  for (const Index accumulate : {1, 2}) {
    BenchmarkSetup setup = tiny_setup();
    setup.accumulate_steps = accumulate;
    setup.ema_decay = accumulate == 2 ? 0.9 : 0;
    if (accumulate == 2) setup.weights = kernels::WeightFormat::kInt8;
    ThreadPool pool(2);
    const auto backend = kernels::make_backend(pool);
    std::vector<std::string> stages;
    double before = 0;
    const BenchmarkResult result =
        run_benchmark(setup, pool, *backend, [&](std::string_view stage, double done) {
          if (stages.empty() || stages.back() != stage) stages.emplace_back(stage);
          CHECK(done >= before);
          CHECK(done <= 1);
          before = done;
        });
    CHECK(stages ==
          std::vector<std::string>{"initial values", "training", "evaluation", "generation"});
    CHECK(result.work.step_tokens == accumulate * 10);
    const BenchmarkTimes& times = result.times;
    for (const double phase : times.phases) {
      CHECK(phase > 0);
      CHECK(phase < times.step);
    }
    CHECK(times.window > 0);
    CHECK(times.window_hidden > 0);
    CHECK(times.token >= times.token_hidden);
    CHECK(times.token_softmax > 0);
    CHECK(times.token_draw > 0);
    const std::vector<double>& tails = result.work.tail_bytes;
    CHECK(times.token_read_bytes <= result.work.weight_bytes);
    CHECK(times.token_read_bytes >= result.work.weight_bytes - tails[0] - tails[1]);
    CHECK(times.token_read_rate > 0);
    for (const int repeats : {times.steps, times.windows, times.tokens}) CHECK(repeats >= 3);
    const BenchmarkLimits& limits = result.limits;
    CHECK(limits.product_peak > result.train_flops_per_second());
    CHECK(limits.weights_rate > result.generate_bytes_per_second());
    CHECK(limits.memory_rate > 0);
    CHECK(limits.memory_bytes <= 512.0 * (1 << 20));
    CHECK_FALSE(limits.peak_of_tiles);
  }
}

TEST_CASE("run_benchmark: three products for one have a third of the peak", "[train]") {
  ThreadPool pool(1);
  for (const kernels::InstructionSet set : kernels::supported_instruction_sets()) {
    if (set == kernels::InstructionSet::kReference) continue;
    const auto limits = [&](kernels::Precision precision) {
      const auto backend = kernels::make_backend(pool, set, precision);
      return run_benchmark(tiny_setup(), pool, *backend, [](std::string_view, double) {}).limits;
    };
    const BenchmarkLimits one = limits(kernels::Precision::kBf16);
    const BenchmarkLimits three = limits(kernels::Precision::kBf16x3);
    CHECK(one.peak_of_tiles == (set == kernels::InstructionSet::kAmx));
    CHECK(three.peak_of_tiles == one.peak_of_tiles);
    CHECK(three.product_peak < 0.6 * one.product_peak);
    CHECK(three.product_peak > 0.15 * one.product_peak);
  }
}

}  // namespace
}  // namespace sluice::train
