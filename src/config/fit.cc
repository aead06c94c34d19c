#include "sluice/config/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "sluice/train/progress.h"

namespace sluice::config {
namespace {

constexpr double kFlopsPerCpu = 1e11;
constexpr double kShortText = 300e3;   // characters, below which pieces of words are too rare
constexpr double kUnspacedText = 3e6;  // the same where no spaces tell words apart
constexpr double kCharsPerPiece = 4;   // of SentencePiece, in spaced text
constexpr double kLeastWeights = 6e5;  // that a network for the shortest text may have
constexpr double kSteps = 4000;
constexpr double kMostHeldBack = 3e5;  // bytes; of very long texts this part of them:
constexpr double kLeastFraction = 0.003;

// Between the choices.
struct Situation {
  const text::Survey& text;
  const IsSet& is_set;
  double flops_per_second;
  double seconds = 0;       // of training that the network is made for
  bool spaced = true;       // words are told apart by spaces
  bool characters = false;  // tokens are characters, or bytes
  double tokens = 0;        // in the text, about
};

Index round_to(double value, Index unit, Index least, Index most) {
  const auto rounded = static_cast<Index>(std::lround(value / static_cast<double>(unit))) * unit;
  return std::clamp(rounded, least, most);
}

double power_of_two_below(double value) { return std::exp2(std::floor(std::log2(value))); }

double token_count(const Situation& is, text::TokenizerType type) {
  const text::CorpusCounts& counts = is.text.counts;
  switch (type) {
    case text::TokenizerType::kByte:
      return static_cast<double>(counts.bytes);
    case text::TokenizerType::kChar:
      return static_cast<double>(counts.chars);
    case text::TokenizerType::kWord:
      return static_cast<double>(counts.words + counts.lines);
    case text::TokenizerType::kSentencePiece:
      break;
  }
  return static_cast<double>(counts.chars) / (is.spaced ? kCharsPerPiece : kCharsPerPiece / 2);
}

void fit_tokenizer(Situation& is, Fitted& fitted) {
  text::TokenizerConfig& tokenizer = fitted.config.tokenizer;
  const auto chars = static_cast<double>(is.text.counts.chars);
  const bool pieces = is.is_set("tokenizer.algorithm") || is.is_set("tokenizer.vocab_size");
  if (!is.is_set("tokenizer.type") && !is.is_set("tokenizer.file")) {
    is.characters = !pieces && chars < (is.spaced ? kShortText : kUnspacedText);
    // Characters have no tokens for malformed bytes.
    const bool bytes = fitted.config.data.invalid_utf8 == text::InvalidUtf8::kBytes;
    tokenizer.type = !is.characters ? text::TokenizerType::kSentencePiece
                     : bytes        ? text::TokenizerType::kByte
                                    : text::TokenizerType::kChar;
    fitted.reasons.push_back(
        is.characters
            ? fmt::format("tokens: {}, for {} text of {:.2g} million characters, {} different ones "
                          "(tokenizer.type)",
                          bytes ? "bytes" : "characters", is.spaced ? "a short" : "an unspaced",
                          chars / 1e6, is.text.distinct_chars)
            : "tokens: pieces of words, found in the text by SentencePiece (tokenizer.type)");
  }
  is.tokens = std::max(1.0, token_count(is, tokenizer.type));
  is.characters =
      tokenizer.type == text::TokenizerType::kChar || tokenizer.type == text::TokenizerType::kByte;
}

// Weights of the blocks, and their widest layer.
struct Body {
  double weights = 0, width = 1;
};

Body body_of(const model::ModelConfig& network) {
  Body body;
  auto in = static_cast<double>(network.embedding_dim);
  for (const model::BlockConfig& block : network.blocks) {
    for (const model::LayerConfig& layer : block.layers) {
      const auto out = static_cast<double>(layer.channels);
      body.weights += static_cast<double>(block.repeat * layer.kernel) * in * 2 * out;
      body.width = std::max(body.width, out);
      in = out;
    }
  }
  return body;
}

void fit_network(const Situation& is, Fitted& fitted) {
  Config& config = fitted.config;
  model::ModelConfig& network = config.model;
  const double flops = is.seconds * is.flops_per_second;
  const double weights =
      std::clamp(std::sqrt(flops / 18), 1e5, std::max(kLeastWeights, 4 * is.tokens));
  const Index layers = is.characters ? 8 : 6, kernel = 4;
  // kernel * C * 2C in each layer.
  const double width = std::sqrt(weights / static_cast<double>(2 * kernel * layers));
  const Index channels = round_to(width, 32, 64, 1024);
  if (!is.is_set("model.blocks")) {
    network.blocks = {{.layers = {{.kernel = kernel, .channels = channels}}, .repeat = layers}};
    if (!is.is_set("model.embedding_dim")) network.embedding_dim = channels;
    fitted.reasons.push_back(fmt::format(
        "network: {} layers of {} channels, what {} on this machine can train (model.blocks)",
        layers, channels, train::format_duration(is.seconds)));
  }
  if (!is.is_set("model.output")) {
    // A table of words is most of such a network: one for both ends.
    network.output.tied = !is.characters;
    network.output.tail_div = is.characters ? model::OutputConfig{}.tail_div : 1;
  }
  // A wider layer bears smaller steps.
  if (!is.is_set("optimizer")) {
    config.optimizer.lr = std::clamp(0.008 * 160 / body_of(network).width, 0.001, 0.008);
  }
}

// More passes over a short text would only teach it by heart.
Index useful_passes(double tokens) {
  return static_cast<Index>(std::clamp(4 * std::sqrt(2e7 / tokens), 4.0, 40.0));
}

// How long, where the user has set no limit or one of time only, which more passes may not fill.
void fit_limits(const Situation& is, Fitted& fitted) {
  train::TrainConfig& train = fitted.config.train;
  if (!is.is_set("train.max_time")) train.max_time.reset();
  if (!is.is_set("train.max_steps")) train.max_steps.reset();
  if (!is.is_set("train.max_epochs")) train.max_epochs.reset();
  if (train.max_steps || train.max_epochs) return;
  if (!train.max_time) train.max_time = Seconds{std::round(is.seconds)};
  train.max_epochs = useful_passes(is.tokens);
  fitted.reasons.push_back(
      fmt::format("duration: {}, or {} passes over the text (--max-time, train.max_epochs)",
                  train::format_duration(train.max_time->value), *train.max_epochs));
}

void fit_steps(const Situation& is, Fitted& fitted) {
  Config& config = fitted.config;
  const train::TrainConfig& limits = config.train;
  const double slowness = is.characters ? 1.1 : 1.6;  // by embedding, softmax and update
  const double speed =
      is.flops_per_second / (6 * std::max(1.0, body_of(config.model).weights) * slowness);
  double seen = std::numeric_limits<double>::infinity();
  if (limits.max_time) seen = limits.max_time->value * speed;
  if (limits.max_epochs) {
    seen = std::min(seen, static_cast<double>(*limits.max_epochs) * is.tokens);
  }
  const double most_steps = limits.max_steps ? static_cast<double>(*limits.max_steps) : kSteps;
  const double wanted = std::isfinite(seen) ? seen / most_steps : 1024;
  const double step = std::clamp(power_of_two_below(std::max(1.0, wanted)), 256.0, 8192.0);
  if (!is.is_set("data.tokens_per_sample")) {
    // A short text must hold some windows.
    const double longest = std::max(8.0, power_of_two_below(std::max(1.0, is.tokens / 8)));
    config.data.tokens_per_sample =
        static_cast<Index>(std::min(longest, step < 1024 ? 64.0 : 128.0));
  }
  if (!is.is_set("data.batch_size")) {
    config.data.batch_size =
        std::max<Index>(1, static_cast<Index>(step) / config.data.tokens_per_sample);
  }
  const auto in_step = static_cast<double>(config.data.tokens_per_sample * config.data.batch_size);
  double steps = seen / in_step;
  if (limits.max_steps) steps = std::min(steps, static_cast<double>(*limits.max_steps));
  const double passes = steps * in_step / is.tokens;
  if (!is.is_set("model.dropout")) {
    model::DropoutConfig& dropout = config.model.dropout;
    dropout.layer = passes < 2 ? 0 : passes < 6 ? 0.1 : passes < 20 ? 0.2 : 0.25;
    dropout.embedding = dropout.output = dropout.layer;
    fitted.reasons.push_back(
        fmt::format("dropout: {}, for about {:.1f} passes over the text (model.dropout)",
                    dropout.layer, passes));
  }
  const Index interval = round_to(steps / 10, 50, 50, 5000);
  if (!is.is_set("train.eval_every")) config.train.eval_every = interval;
  if (!is.is_set("train.save_every")) config.train.save_every = interval;
}

void fit_validation(const Situation& is, Fitted& fitted) {
  if (is.is_set("data.valid") || is.is_set("data.valid_fraction")) return;
  const auto bytes = static_cast<double>(is.text.counts.bytes);
  const double most = std::max(kMostHeldBack, kLeastFraction * bytes);
  double& fraction = fitted.config.data.valid_fraction;
  if (fraction * bytes <= most) return;
  // Two digits, so that the config reads well.
  const double unit = std::pow(10, std::floor(std::log10(most / bytes)) - 1);
  fraction = std::floor(most / bytes / unit) * unit;
  fitted.reasons.push_back(
      fmt::format("held back for validation: {:.2g} % of the lines, so that it takes little of the "
                  "time (data.valid_fraction)",
                  100 * fraction));
}

}  // namespace

Fitted fit_config(const Config& base, const IsSet& is_set, const text::Survey& text, int threads) {
  Fitted fitted = {base, {}};
  const text::CorpusCounts& counts = text.counts;
  const double megabytes = static_cast<double>(counts.bytes) / 1e6;
  Situation is = {.text = text, .is_set = is_set, .flops_per_second = kFlopsPerCpu * threads};
  is.seconds = is_set("train.max_time") && base.train.max_time
                   ? base.train.max_time->value
                   : std::clamp(600 * std::sqrt(megabytes), 180.0, 7200.0);
  // Words of sixteen letters at most, on average: Chinese and Japanese have none to speak of.
  is.spaced = static_cast<double>(counts.words) * 16 > static_cast<double>(counts.chars);
  fit_tokenizer(is, fitted);
  fit_network(is, fitted);
  fit_limits(is, fitted);
  fit_steps(is, fitted);
  fit_validation(is, fitted);
  return fitted;
}

}  // namespace sluice::config
