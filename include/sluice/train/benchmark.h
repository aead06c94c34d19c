#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "sluice/kernels/weight_format.h"
#include "sluice/model/model_config.h"
#include "sluice/model/summary.h"
#include "sluice/optim/optim_config.h"
#include "sluice/train/step.h"

// How fast a network trains, evaluates and writes here, and what the machine allows: `sluice
// bench`.
namespace sluice::train {

// Repeated measurements of one thing.
class Samples {
 public:
  void add(double value) { values_.push_back(value); }
  int count() const { return static_cast<int>(values_.size()); }
  // The mean of the two in the middle where their number is even; 0 of none.
  double median() const;

 private:
  std::vector<double> values_;
};

struct BenchmarkSetup {
  model::ModelConfig model = {};  // cutoffs chosen
  optim::OptimizerConfig optimizer = {};
  Index vocabulary = 0;
  Index batch_size = 0, tokens_per_sample = 0, accumulate_steps = 1;
  Index context_tokens = 0;
  bool carry_context = false;
  double ema_decay = 0;
  std::uint64_t seed = 1;
  kernels::WeightFormat weights = kernels::WeightFormat::kFloat32;  // that words are written with
  double seconds = 10;  // about; three repeats of everything are made even if they take longer
};

// Medians of repeats, in seconds, each by itself: those of the parts add up roughly. A step is one
// update; a window eval::kWindow tokens of one stream; a token one of one text, as `generate`
// writes it.
struct BenchmarkTimes {
  std::array<double, kPhases> phases = {};  // of a step
  double step = 0;
  double window = 0, window_hidden = 0;  // all of it; up to what the softmax reads
  double token = 0, token_hidden = 0, token_softmax = 0, token_draw = 0;
  // Bytes of weights read for a token, by the second and on average: tails of the softmax that a
  // token did without (model::NextWords) do not count.
  double token_read_rate = 0, token_read_bytes = 0;
  int steps = 0, windows = 0, tokens = 0;  // repeats
};

// Medians of kernels/machine.h, measured in turns with what is held against them.
struct BenchmarkLimits {
  double product_peak = 0;     // FLOP/s, of products as the backend's precision makes them
  bool peak_of_tiles = false;  // of bf16 on AMX, where the backend uses it, else of f32 vectors
  double weights_rate = 0;     // bytes/s of reading as much as a token's weights, again and again
  double memory_rate = 0;      // bytes/s from memory that no cache holds
  double memory_bytes = 0;     // so much: 512 MB, less where memory or time (below 1 s) is short
};

// What a network does, by its size.
struct BenchmarkWork {
  Index parameters = 0;
  Index step_tokens = 0, window_tokens = 0;  // targets
  Index step_positions = 0;                  // with the context tokens in front
  // Forward per token, two for each multiply-add of a product, tails of the softmax by the share of
  // targets in them; training is three times that, backward being two more products for each.
  double flop_per_token = 0;
  double weight_bytes = 0;  // read for a written token at most, and of these those of each tail
  std::vector<double> tail_bytes = {};
};

struct BenchmarkResult {
  BenchmarkWork work;
  BenchmarkTimes times;
  BenchmarkLimits limits;

  double train_tokens_per_second() const;
  double eval_tokens_per_second() const;
  double generate_tokens_per_second() const;
  double train_flops_per_second() const;
  double eval_flops_per_second() const;
  double generate_bytes_per_second() const;
};

// Bytes of weights that the distribution after one more token depends on: all but the embedding,
// of which it is one row, unless it is tied; with biases and gains, which stay f32, and the scales
// of int8.
double bytes_per_written_token(const model::Summary& summary, kernels::WeightFormat format);
// Of these those of a tail of the softmax.
double bytes_of_tail(const model::Summary& summary, kernels::WeightFormat format, int tail);
BenchmarkWork benchmark_work(const BenchmarkSetup& setup);

// A stage's name and how much of the benchmark is behind us, in [0, 1].
using BenchmarkProgress = std::function<void(std::string_view stage, double done)>;

// Measures, on random words (train/zipf.h) and through what a run uses: steps are add_gradient(),
// norm and update as the trainer's, with a small learning rate, so that no network diverges on
// noise; evaluation is eval::StreamEvaluator, its hidden layers alone are model::Stream::feed on
// the same tokens; a written token is model::BatchStream, NextWords and Sampler at batch 1. Left
// out: reading text, loading a batch, decoding, files. The first repeats do not count: they touch
// fresh memory. Of tables of words, a step updates the rows that have a gradient and takes the
// steps put off of those that it reads (kernels/backend.h: catch_up); what rows that are never read
// again still owe at the end is in no time. Errors: as GatedConvLm's.
BenchmarkResult run_benchmark(const BenchmarkSetup& setup, ThreadPool& pool,
                              kernels::Backend& backend, const BenchmarkProgress& progress);

}  // namespace sluice::train
