#include "src/cli/fitted_config.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <string>
#include <vector>

#include "sluice/base/thread_pool.h"
#include "sluice/config/file_kind.h"
#include "sluice/config/fit.h"
#include "sluice/text/tokenizer.h"
#include "sluice/train/progress.h"

namespace sluice::cli {
namespace {

using config::Config;
using Apply = std::function<void(Config&)>;

// A config that differs from `config` in every key that is chosen for a text.
Config altered(Config config) {
  text::DataConfig& data = config.data;
  data.valid = {"another"};
  data.valid_fraction /= 2;
  data.tokens_per_sample += 1;
  data.batch_size += 1;
  config.tokenizer.type = text::TokenizerType::kWord;
  config.tokenizer.algorithm = text::Algorithm::kBpe;
  config.tokenizer.vocab_size = 12345;
  config.tokenizer.file = "another";
  model::ModelConfig& model = config.model;
  model.embedding_dim += 1;
  for (model::BlockConfig& block : model.blocks) {
    block.repeat += 1;
    for (model::LayerConfig& layer : block.layers) layer.channels += 1;
  }
  model.output.tied = !model.output.tied;
  model.output.tail_div += 1;
  model.dropout = {.embedding = 0.5, .layer = 0.5, .output = 0.5, .tail = 0.5};
  config.optimizer.lr *= 2;
  // Its rate is chosen for the preset's optimizer: another one's is the user's own affair.
  config.optimizer.type = optim::OptimizerType::kSgd;
  train::TrainConfig& train = config.train;
  train.max_steps = train.max_steps.value_or(0) + 1;
  train.max_epochs = train.max_epochs.value_or(0) + 1;
  train.max_time = Seconds{train.max_time ? train.max_time->value + 1 : 1};
  train.eval_every += 1;
  train.save_every += 1;
  return config;
}

// What settings and options leave as they find it is not set by them.
config::IsSet set_keys(const ConfigArguments& arguments, const Apply& apply) {
  const auto laid_over = [&](Config config) {
    apply_settings(arguments, config);
    apply(config);
    return config;
  };
  const Config preset = effective_config({});
  const Config one = laid_over(preset), other = laid_over(altered(preset));
  const std::vector<std::string> left = config::differing_keys(one, other);
  const std::vector<std::string> all = config::differing_keys(preset, altered(preset));
  return [left, all](std::string_view key) {
    // Set is a key of which, or below which, something that could differ does not.
    const auto count = [key](const std::vector<std::string>& keys) {
      return std::count_if(keys.begin(), keys.end(), [key](std::string_view path) {
        return path.starts_with(key) && (path.size() == key.size() || path[key.size()] == '.');
      });
    };
    return count(left) < count(all);
  };
}

}  // namespace

Config config_for_text(const ConfigArguments& arguments, const Apply& apply) {
  Config config = effective_config(arguments);
  apply(config);
  if (config.data.train.empty()) return config;  // refused later, with everything else
  const text::TokenizerConfig tokenizer = config.tokenizer;
  if (tokenizer.file) {
    config.tokenizer.type = text::load_tokenizer(config::tokenizer_path(*tokenizer.file))->type();
  }
  const int threads =
      config.train.threads > 0 ? static_cast<int>(config.train.threads) : available_cpus();
  const text::Survey text = text::survey({config.data.train, config.data.invalid_utf8});
  config::Fitted fitted = fit_config(config, set_keys(arguments, apply), text, threads);
  if (tokenizer.file) fitted.config.tokenizer = tokenizer;
  spdlog::info("no CONFIG: chosen for {}B of text and {} CPUs; --set KEY=JSON changes any of it",
               train::format_count(static_cast<double>(text.counts.bytes)), threads);
  for (const std::string& reason : fitted.reasons) spdlog::info("  {}", reason);
  return fitted.config;
}

}  // namespace sluice::cli
