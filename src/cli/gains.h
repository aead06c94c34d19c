#pragma once

#include <memory>
#include <optional>
#include <string>

#include "sluice/config/open_model.h"
#include "sluice/eval/cache_evaluator.h"
#include "sluice/eval/dynamic_evaluator.h"
#include "src/cli/options.h"

// --cache and --dynamic of `sluice eval`: what a model gains by looking back at the text that it
// scores. Figures of their own, beside the plain ones and from the same pass.
namespace sluice::cli {

struct GainArguments {
  std::optional<std::string> cache, dynamic;
};
void add_gains(CLI::App& command, GainArguments& arguments);

class Gains {
 public:
  // Error kUsage: what is no setting, and weights that a dynamic evaluation cannot start from.
  Gains(const GainArguments& arguments, kernels::WeightFormat weights);

  // Ahead of the evaluation. Error kUsage where the text is not one stream.
  void start(const config::OpenModel& model, text::Mode mode, ThreadPool& pool);
  // For the evaluation; null when there is nothing to do.
  eval::WindowObserver observer();
  void finish(const eval::Totals& plain);

  // After finish(): further keys of --json, as an object; further lines for people.
  std::string json() const;
  std::string report() const;

 private:
  std::optional<Index> cache_size_;
  std::optional<eval::CacheMixture> mixture_;  // none: to be found
  std::optional<eval::DynamicSettings> dynamic_;

  std::unique_ptr<model::GatedConvLm> adapted_;
  std::optional<eval::CacheEvaluator> cache_evaluator_;
  std::optional<eval::DynamicEvaluator> dynamic_evaluator_;

  eval::Totals plain_, adapted_totals_;
  eval::CacheEvaluator::Result cached_;
};

}  // namespace sluice::cli
