#include "src/cli/idle_keys.h"

#include <spdlog/spdlog.h>

#include <optional>
#include <string_view>

namespace sluice::cli {

using config::Config;

namespace {

void warn_if(bool idle, std::string_view key, std::string_view why) {
  if (idle) spdlog::warn("{} does nothing here: {}", key, why);
}

void warn_of_idle_optimizer_keys(const optim::OptimizerConfig& is) {
  const optim::OptimizerConfig usual;
  const bool adam =
      is.type == optim::OptimizerType::kAdam || is.type == optim::OptimizerType::kAdamw;
  const std::string_view why = "the optimizer is not sgd or nag";
  const std::string_view why_adam = "the optimizer is not adam or adamw";
  warn_if(adam && is.momentum != usual.momentum, "optimizer.momentum", why);
  warn_if(!adam && is.betas != usual.betas, "optimizer.betas", why_adam);
  warn_if(!adam && is.eps != usual.eps, "optimizer.eps", why_adam);
  warn_if(is.weight_decay == 0 && is.decay != usual.decay, "optimizer.decay",
          "optimizer.weight_decay is 0");
}

void warn_of_idle_schedule_keys(const optim::ScheduleConfig& is,
                                const std::optional<Index>& early_stop) {
  using optim::ScheduleType;
  const optim::ScheduleConfig usual;
  const bool steps = is.type == ScheduleType::kSteps, plateau = is.type == ScheduleType::kPlateau;
  warn_if(is.type == ScheduleType::kConstant && is.min_lr != usual.min_lr, "schedule.min_lr",
          "the schedule is constant");
  warn_if(!steps && !plateau && is.factor != usual.factor, "schedule.factor",
          "the schedule is neither steps nor plateau");
  warn_if(!plateau && is.patience != usual.patience, "schedule.patience",
          "the schedule is not plateau");
  // The rate falls with validation patience + 1 without improvement, at the earliest.
  warn_if(plateau && early_stop && *early_stop <= is.patience + 1, "schedule.type",
          "train.early_stop_evals ends the run before the plateau lowers the rate; it needs more "
          "than schedule.patience + 1");
  warn_if(!steps && is.milestones != usual.milestones, "schedule.milestones",
          "the schedule is not steps");
}

void warn_of_idle_output_keys(const model::OutputConfig& is, const model::DropoutConfig& dropout) {
  const model::OutputConfig usual;
  const bool adaptive = is.type == model::OutputType::kAdaptive;
  const std::string_view why = "model.output.type is not adaptive";
  warn_if(!adaptive && is.cutoffs != usual.cutoffs, "model.output.cutoffs", why);
  warn_if(!adaptive && is.tail_div != usual.tail_div, "model.output.tail_div", why);
  // Cutoffs that are still to be chosen may be none.
  const bool whole = !adaptive || (is.cutoffs && is.cutoffs->empty());
  const bool tails = adaptive && is.cutoffs && !is.cutoffs->empty();
  warn_if(whole && dropout.tail != model::DropoutConfig{}.tail, "model.dropout.tail",
          "the output has no tails");
  warn_if(tails && is.bias != usual.bias, "model.output.bias",
          "an output with cutoffs has no biases");
}

void warn_of_idle_model_keys(const Config& config) {
  const model::DropoutConfig& is = config.model.dropout;
  const std::string_view why = "the rate is 0";
  warn_if(is.embedding_locked && is.embedding == 0, "model.dropout.embedding_locked", why);
  warn_if(is.layer_locked && is.layer == 0, "model.dropout.layer_locked", why);
  warn_if(is.output_locked && is.output == 0, "model.dropout.output_locked", why);
  warn_if(config.model.activation_change_l2 > 0 && config.data.tokens_per_sample == 1,
          "model.activation_change_l2", "a window of one token has no change");
  warn_if(config.data.context_tokens >= model::receptive_field(config.model),
          "part of data.context_tokens",
          "more than the receptive field less one reaches no scored token");
}

void warn_of_idle_tokenizer_keys(const text::TokenizerConfig& is) {
  using text::TokenizerType;
  const text::TokenizerConfig usual;
  if (is.file) {
    const std::string_view why = "the tokenizer comes from tokenizer.file";
    warn_if(is.type != usual.type, "tokenizer.type", why);
    warn_if(is.algorithm != usual.algorithm, "tokenizer.algorithm", why);
    warn_if(is.vocab_size.has_value(), "tokenizer.vocab_size", why);
    warn_if(is.min_count != usual.min_count, "tokenizer.min_count", why);
    return;
  }
  const bool bytes = is.type == TokenizerType::kByte;
  const bool pieces = is.type == TokenizerType::kSentencePiece;
  warn_if(!pieces && is.algorithm != usual.algorithm, "tokenizer.algorithm",
          "the tokenizer is not sentencepiece");
  warn_if(bytes && is.vocab_size, "tokenizer.vocab_size", "bytes are always 256");
  warn_if(bytes && is.min_count > 1, "tokenizer.min_count", "bytes are always 256");
  warn_if(pieces && is.min_count > 1, "tokenizer.min_count",
          "sentencepiece chooses pieces by vocab_size");
}

}  // namespace

void warn_of_idle_keys(const Config& config) {
  warn_of_idle_tokenizer_keys(config.tokenizer);
  warn_if(config.data.unk_in_text && config.tokenizer.file, "data.unk_in_text",
          "the tokenizer comes from tokenizer.file");
  warn_if(config.data.unk_in_text && !config.tokenizer.file &&
              config.tokenizer.type != text::TokenizerType::kWord,
          "data.unk_in_text", "only the word tokenizer has an unknown word in the text");
  warn_if(
      !config.data.valid.empty() && config.data.valid_fraction != text::DataConfig{}.valid_fraction,
      "data.valid_fraction", "there is validation text");
  warn_of_idle_optimizer_keys(config.optimizer);
  warn_of_idle_schedule_keys(config.schedule, config.train.early_stop_evals);
  warn_of_idle_output_keys(config.model.output, config.model.dropout);
  warn_of_idle_model_keys(config);
}

}  // namespace sluice::cli
