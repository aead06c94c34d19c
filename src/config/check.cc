#include "sluice/config/check.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/config/config.h"
#include "sluice/text/tokenizer.h"

namespace sluice::config {
namespace {

// More cannot be meant: 400 GB of weights, and more layers than any machine passes through.
constexpr double kMostParameters = 1e11;
constexpr double kMostLayers = 5000;  // nine tensors each must fit a checkpoint

void check_size(const model::ModelConfig& model) {
  double layers = 0, parameters = 0;
  auto width = static_cast<double>(model.embedding_dim);
  for (const model::BlockConfig& block : model.blocks) {
    double in = width, in_block = 0;
    for (const model::LayerConfig& layer : block.layers) {
      const auto out = static_cast<double>(layer.channels);
      in_block += static_cast<double>(layer.kernel) * in * 2 * out;
      in = out;
    }
    parameters += static_cast<double>(block.repeat) * in_block;
    layers += static_cast<double>(block.repeat) * static_cast<double>(block.layers.size());
    width = in;
  }
  if (layers > kMostLayers) {
    throw Error(ExitCode::kUsage, "model.blocks: too many layers (expected at most {}, found {})",
                kMostLayers, layers);
  }
  if (parameters > kMostParameters) {
    throw Error(ExitCode::kUsage,
                "model.blocks: too many parameters (expected at most {:g}, found {:.2g}); look at "
                "channels, kernel and repeat",
                kMostParameters, parameters);
  }
}

void check_paths(const text::DataConfig& data) {
  const auto normal = [](const std::string& path) {
    return std::filesystem::path(path).lexically_normal();
  };
  const auto refuse_empty = [](const std::vector<std::string>& paths, const char* key) {
    for (std::size_t i = 0; i < paths.size(); ++i) {
      if (paths[i].empty()) {
        throw Error(ExitCode::kUsage, "{}.{}: empty (expected a path, found \"\")", key, i);
      }
    }
  };
  refuse_empty(data.train, "data.train");
  refuse_empty(data.valid, "data.valid");
  if (data.cache_dir && data.cache_dir->empty()) {
    throw Error(ExitCode::kUsage, "data.cache_dir: empty (expected a path or null, found \"\")");
  }
  for (std::size_t v = 0; v < data.valid.size(); ++v) {
    for (std::size_t t = 0; t < data.train.size(); ++t) {
      if (normal(data.valid[v]) == normal(data.train[t])) {
        throw Error(ExitCode::kUsage,
                    "data.valid.{}: the same file as data.train.{} (expected other text, found "
                    "{}); without data.valid a part of the training text is held out",
                    v, t, quote(data.valid[v]));
      }
    }
  }
}

// A line has no text in front of it, and a window in a stream has what is carried.
void check_context(const text::DataConfig& data, const model::ModelConfig& model) {
  if (data.mode == text::Mode::kLines && data.context_tokens > 0) {
    throw Error(ExitCode::kUsage,
                "data.context_tokens: lines stand for themselves (expected 0 when data.mode is "
                "lines, found {})",
                data.context_tokens);
  }
  if (data.mode == text::Mode::kLines && data.carry_context) {
    throw Error(ExitCode::kUsage,
                "data.carry_context: lines stand for themselves (expected false when data.mode is "
                "lines, found true)");
  }
  if (data.carry_context && data.context_tokens > 0) {
    throw Error(ExitCode::kUsage,
                "data.context_tokens: windows that carry their context read it once (expected 0 "
                "when data.carry_context is true, found {})",
                data.context_tokens);
  }
  // What is carried then lies in the window before, and a checkpoint finds it there.
  if (const Index rows = model::context_rows(model);
      data.carry_context && data.tokens_per_sample < rows) {
    throw Error(ExitCode::kUsage,
                "data.tokens_per_sample: shorter than what a layer looks back, with "
                "data.carry_context (expected at least {}, found {})",
                rows, data.tokens_per_sample);
  }
}

void check_schedule(const optim::ScheduleConfig& schedule, double peak) {
  if (schedule.min_lr > peak) {
    throw Error(ExitCode::kUsage,
                "schedule.min_lr: above optimizer.lr (expected at most {}, found {})", peak,
                schedule.min_lr);
  }
  if (schedule.type == optim::ScheduleType::kInverseSqrt && schedule.warmup == 0) {
    throw Error(ExitCode::kUsage,
                "schedule.warmup: inverse_sqrt falls from the end of the warm-up (expected above "
                "0, found 0); e.g. --set schedule.warmup=0.05");
  }
  if (schedule.type != optim::ScheduleType::kSteps) return;
  if (schedule.milestones.empty()) {
    throw Error(ExitCode::kUsage,
                "schedule.milestones: empty (expected the parts of the run after which steps "
                "lowers lr, found none); e.g. --set schedule.milestones=[0.5,0.75]");
  }
  double before = schedule.warmup;
  for (std::size_t i = 0; i < schedule.milestones.size(); ++i) {
    if (schedule.milestones[i] <= before) {
      throw Error(ExitCode::kUsage,
                  "schedule.milestones.{}: not above {} (expected above {}, found {})", i,
                  i == 0 ? "the warm-up" : "the one before", before, schedule.milestones[i]);
    }
    before = schedule.milestones[i];
  }
}

}  // namespace

void check_config(const Config& config) {
  const train::TrainConfig& train = config.train;
  if (!train.max_epochs && !train.max_steps && !train.max_time) {
    throw Error(ExitCode::kUsage,
                "train: no limit (expected one of train.max_epochs, train.max_steps, "
                "train.max_time, found none); set one, e.g. --set train.max_epochs=10");
  }
  if (config.optimizer.betas.size() != 2) {
    throw Error(ExitCode::kUsage, "optimizer.betas: wrong length (expected 2 numbers, found {})",
                config.optimizer.betas.size());
  }
  check_schedule(config.schedule, config.optimizer.lr);
  check_size(config.model);
  model::check_output(config.model, std::nullopt);
  check_paths(config.data);
  check_context(config.data, config.model);
  // A tokenizer from a file is asked itself once it is there (text::check_carries_bytes).
  if (!config.tokenizer.file) text::check_trainable(config.tokenizer, config.data.invalid_utf8);
}

}  // namespace sluice::config
