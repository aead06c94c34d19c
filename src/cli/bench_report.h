#pragma once

#include <string>

#include "sluice/train/benchmark.h"

namespace sluice::cli {

// What was measured, and where.
struct BenchReport {
  std::string config;
  Index vocabulary = 0;
  Index batch_size = 0, tokens_per_sample = 0, accumulate_steps = 1, context_tokens = 0;
  bool carry_context = false;
  std::string backend;  // kernels that computed
  kernels::Precision precision = kernels::Precision::kF32;
  kernels::WeightFormat weights = kernels::WeightFormat::kFloat32;
  int threads = 1;
  train::BenchmarkResult result;
};

// A table of at most 80 columns, or one JSON object on a line.
std::string as_text(const BenchReport& report);
std::string as_json(const BenchReport& report);

}  // namespace sluice::cli
