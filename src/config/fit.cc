#include "sluice/config/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
namespace sluice::config {
namespace {

constexpr double kFlopsPerCpu = 1e11;
constexpr double kShortText = 300e3;   // characters, below which pieces of words are too rare
constexpr double kUnspacedText = 3e6;  // the same where no spaces tell words apart
constexpr double kCharsPerPiece = 4;   // of SentencePiece, in spaced text
constexpr double kLeastWeights = 6e5;  // that a network for the shortest text may have
constexpr double kSteps = 4000;        // updates in a run: short ones lack these most
constexpr double kMostHeldBack = 3e5;  // bytes, for a run of five minutes

// All that the choices are made from.
struct Situation {
  double megabytes, chars, seconds, flops_per_second;
  bool spaced;
  bool characters = false;  // tokens are characters
  double tokens = 0;        // in the text, about

  double flops() const { return seconds * flops_per_second; }
};

Index round_to(double value, Index unit, Index least, Index most) {
  const auto rounded = static_cast<Index>(std::lround(value / static_cast<double>(unit))) * unit;
  return std::clamp(rounded, least, most);
}

std::string in_minutes(double seconds) { return fmt::format("{:.0f} min", seconds / 60); }

void fit_tokenizer(const Decided& decided, const text::Survey& text, Situation& is,
                   Fitted& fitted) {
  text::TokenizerConfig& tokenizer = fitted.config.tokenizer;
  if (!decided.tokenizer) {
    is.characters = is.chars < (is.spaced ? kShortText : kUnspacedText);
    tokenizer.type =
        is.characters ? text::TokenizerType::kChar : text::TokenizerType::kSentencePiece;
    fitted.reasons.push_back(
        is.characters
            ? fmt::format("tokens: characters, {} of them, for {} a text of {:.2f} million "
                          "characters (tokenizer.type)",
                          text.distinct_chars, is.spaced ? "so short" : "unspaced", is.chars / 1e6)
            : "tokens: pieces of words, found in the text by SentencePiece (tokenizer.type)");
  }
  switch (tokenizer.type) {
    case text::TokenizerType::kByte:
      is.tokens = static_cast<double>(text.counts.bytes);
      break;
    case text::TokenizerType::kChar:
      is.tokens = is.chars;
      break;
    case text::TokenizerType::kWord:
      is.tokens = static_cast<double>(text.counts.words + text.counts.lines);
      break;
    case text::TokenizerType::kSentencePiece:
      is.tokens = is.chars / (is.spaced ? kCharsPerPiece : kCharsPerPiece / 2);
      break;
  }
  is.characters =
      tokenizer.type == text::TokenizerType::kChar || tokenizer.type == text::TokenizerType::kByte;
}

// More passes over a short text would only teach it by heart.
Index useful_passes(double tokens) {
  return static_cast<Index>(std::clamp(4 * std::sqrt(2e7 / tokens), 4.0, 40.0));
}

void fit_network(Situation& is, Fitted& fitted) {
  model::ModelConfig& network = fitted.config.model;
  const double weights =
      std::clamp(std::sqrt(is.flops() / 18), 1e5, std::max(kLeastWeights, 4 * is.tokens));
  const Index layers = is.characters ? 8 : 6, kernel = 4;
  // kernel * C * 2C in each layer.
  const double width = std::sqrt(weights / static_cast<double>(2 * kernel * layers));
  const Index channels = round_to(width, 32, 64, 1024);
  network.embedding_dim = channels;
  network.blocks = {{.layers = {{.kernel = kernel, .channels = channels}}, .repeat = layers}};
  if (!is.characters) {
    // A table of words is most of such a network: one for both ends.
    network.output.tied = true;
    network.output.tail_div = 1;
  }
  fitted.reasons.push_back(
      fmt::format("network: {} layers of {} channels, what {} on this machine can train "
                  "(model.blocks)",
                  layers, channels, in_minutes(is.seconds)));
  // A wider layer bears smaller steps.
  fitted.config.optimizer.lr =
      std::clamp(0.008 * 160 / static_cast<double>(channels), 0.001, 0.008);
}

void fit_duration(const Decided& decided, const Situation& is, Fitted& fitted) {
  Config& config = fitted.config;
  const model::BlockConfig& block = config.model.blocks.front();
  const auto channels = static_cast<double>(block.layers.front().channels);
  const double weights = 8 * channels * channels * static_cast<double>(block.repeat);
  const double speed = is.flops_per_second / (6 * weights * (is.characters ? 1.1 : 1.6));
  const Index passes = useful_passes(is.tokens);
  const double in_time = is.seconds * speed;
  const double seen = std::min(in_time, static_cast<double>(passes) * is.tokens);
  // A power of two.
  const double step_tokens = std::exp2(std::clamp(std::floor(std::log2(seen / kSteps)), 8.0, 13.0));
  config.data.tokens_per_sample = step_tokens < 1024 ? 64 : 128;
  config.data.batch_size = static_cast<Index>(step_tokens) / config.data.tokens_per_sample;
  double steps = in_time / step_tokens;
  if (!decided.limit) {
    config.train.max_time = Seconds{std::round(is.seconds)};
  }
  if (!decided.limit || decided.time) {
    config.train.max_epochs = passes;
    steps = seen / step_tokens;
    fitted.reasons.push_back(
        fmt::format("duration: {}, or {} passes over the text (--max-time, train.max_epochs)",
                    in_minutes(decided.time ? decided.time->value : is.seconds), passes));
  }
  const double epochs = steps * step_tokens / is.tokens;
  const double dropout = epochs < 2 ? 0 : epochs < 6 ? 0.1 : epochs < 20 ? 0.2 : 0.25;
  config.model.dropout.embedding = config.model.dropout.layer = config.model.dropout.output =
      dropout;
  fitted.reasons.push_back(fmt::format(
      "dropout: {}, for about {:.1f} passes over the text (model.dropout)", dropout, epochs));
  config.train.eval_every = config.train.save_every = round_to(steps / 10, 50, 50, 5000);
}

void fit_validation(const Decided& decided, const text::Survey& text, const Situation& is,
                    Fitted& fitted) {
  if (decided.valid) return;
  const double bytes = static_cast<double>(text.counts.bytes);
  const double most = kMostHeldBack * std::clamp(is.seconds / 300, 1.0, 10.0);
  double& fraction = fitted.config.data.valid_fraction;
  if (fraction * bytes <= most) return;
  // Two digits, so that the config reads well.
  const double unit = std::pow(10, std::floor(std::log10(most / bytes)) - 1);
  fraction = std::max(unit, std::floor(most / bytes / unit) * unit);
  fitted.reasons.push_back(fmt::format(
      "held back for validation: {:.2g} % of the lines, so that validating takes little "
      "of the time (data.valid_fraction)",
      100 * fraction));
}

}  // namespace

Fitted fit_config(const Config& base, const Decided& decided, const text::Survey& text,
                  int threads) {
  Fitted fitted = {base, {}};
  const auto chars = static_cast<double>(text.counts.chars);
  const double megabytes = static_cast<double>(text.counts.bytes) / 1e6;
  Situation is = {
      .megabytes = megabytes,
      .chars = chars,
      .seconds = decided.time ? decided.time->value
                              : std::clamp(600 * std::sqrt(megabytes), 180.0, 7200.0),
      .flops_per_second = kFlopsPerCpu * threads,
      // Words of a dozen letters at most, on average: Chinese and Japanese have none to speak of.
      .spaced = static_cast<double>(text.counts.words) * 16 > chars};
  fitted.config.train.max_steps.reset();
  fitted.config.train.max_epochs.reset();
  fitted.config.train.max_time = decided.time;
  fit_tokenizer(decided, text, is, fitted);
  fit_network(is, fitted);
  fit_duration(decided, is, fitted);
  fit_validation(decided, text, is, fitted);
  return fitted;
}

}  // namespace sluice::config
