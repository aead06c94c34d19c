#pragma once

#include <optional>
#include <string>

#include "sluice/kernels/weight_format.h"
#include "src/cli/logging.h"
#include "src/cli/options.h"

namespace sluice::cli {

// The arguments of every command that computes with a model.
struct ModelArguments {
  std::optional<std::string> model;
  std::string which = "best";
  std::optional<std::string> weights;
  Index threads = 0;
  Verbosity verbosity;

  std::string path() const;  // of the model file; Error kNoInput, kUsage
  int thread_count() const;
};

void add_model_arguments(CLI::App& command, ModelArguments& arguments);
void add_verbosity(CLI::App& command, Verbosity& verbosity);
void add_threads(CLI::App& command, Index& threads);
// --weights, "format of the weights" that `which` says more of; not given: f32.
void add_weights(CLI::App& command, std::optional<std::string>& weights, std::string_view which);
kernels::WeightFormat parse_weights(const std::optional<std::string>& weights);

}  // namespace sluice::cli
