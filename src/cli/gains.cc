#include "src/cli/gains.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/decimal.h"
#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::cli {
namespace {

constexpr Index kSegment = 32;

std::vector<std::string_view> split_at_commas(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t comma; (comma = text.find(',')) != std::string_view::npos;) {
    parts.push_back(text.substr(0, comma));
    text.remove_prefix(comma + 1);
  }
  parts.push_back(text);
  return parts;
}

eval::DynamicSettings parse_dynamic(const std::string& text) {
  const auto parts = split_at_commas(text);
  if (parts.size() > 3) {
    throw Error(ExitCode::kUsage, "--dynamic: expected LR, LR,DECAY or LR,DECAY,SEGMENT, found {}",
                quote(text));
  }
  eval::DynamicSettings settings = {.segment = kSegment};
  settings.lr = parse_double("--dynamic: LR", parts[0], {.min = 0, .max = 1e6});
  if (parts.size() > 1) {
    settings.decay =
        parse_double("--dynamic: DECAY", parts[1], {.min = 0, .max = 1, .below_max = true});
  }
  if (parts.size() > 2) {
    settings.segment = parse_int("--dynamic: SEGMENT", parts[2], {.min = 1, .max = 4096});
  }
  return settings;
}

nlohmann::ordered_json figures_of(const eval::Totals& totals) {
  return {{"perplexity", eval::perplexity(totals)},
          {"perplexity_stderr", eval::perplexity_stderr(totals)},
          {"nll_nats_total", totals.nats},
          {"nats_per_token", eval::nats_per_token(totals)},
          {"word_perplexity", eval::word_perplexity(totals)},
          {"bits_per_byte", eval::bits_per_byte(totals)},
          {"bits_per_char", eval::bits_per_char(totals)},
          {"perplexity_excl_oov", eval::perplexity_excl_oov(totals)}};
}

std::string line_of(std::string_view name, const eval::Totals& totals, const eval::Totals& plain,
                    const std::string& settings) {
  const double perplexity = eval::perplexity(totals);
  return fmt::format("{:<17}{:.4f} ± {:.4f} ({:+.1f} %), {:.5f} bits per byte; {}\n", name,
                     perplexity, eval::perplexity_stderr(totals),
                     100 * (perplexity / eval::perplexity(plain) - 1), eval::bits_per_byte(totals),
                     settings);
}

}  // namespace

void add_gains(CLI::App& command, GainArguments& arguments) {
  add_option(command, "--cache", arguments.cache, "SIZE[,THETA,LAMBDA]",
             "also with a continuous cache of the last SIZE tokens; without THETA and LAMBDA the "
             "best for this text, which must then be validation text");
  add_option(command, "--dynamic", arguments.dynamic, "LR[,DECAY[,SEGMENT]]",
             fmt::format("also with weights that take a step of sgd on each SEGMENT ({}) of tokens "
                         "once it is scored, and go back by DECAY (0); never saved",
                         kSegment));
}

Gains::Gains(const GainArguments& arguments, kernels::WeightFormat weights) {
  if (arguments.cache) {
    const auto parts = split_at_commas(*arguments.cache);
    if (parts.size() != 1 && parts.size() != 3) {
      throw Error(ExitCode::kUsage, "--cache: expected SIZE or SIZE,THETA,LAMBDA, found {}",
                  quote(*arguments.cache));
    }
    cache_size_ = parse_int("--cache: SIZE", parts[0], {.min = 1, .max = 1e6});
    if (parts.size() == 3) {
      mixture_ = {.theta = parse_double("--cache: THETA", parts[1], {.min = 0, .max = 1e6}),
                  .lambda = parse_double("--cache: LAMBDA", parts[2],
                                         {.min = 0, .max = 1, .below_max = true})};
    }
  }
  if (!arguments.dynamic) return;
  dynamic_ = parse_dynamic(*arguments.dynamic);
  if (weights != kernels::WeightFormat::kFloat32) {
    throw Error(ExitCode::kUsage,
                "--dynamic and --weights {}: steps are taken on weights in f32 (expected one of "
                "them, found both)",
                name_of(weights));
  }
}

void Gains::start(const config::OpenModel& model, text::Mode mode, ThreadPool& pool) {
  if (!cache_size_ && !dynamic_) return;
  if (mode == text::Mode::kLines) {
    throw Error(ExitCode::kUsage,
                "--{}: looks back over the text, but each line is scored alone (expected mode "
                "stream, found lines); --mode stream scores it as one",
                cache_size_ ? "cache" : "dynamic");
  }
  kernels::Backend& backend = model.network->backend();
  if (cache_size_) cache_evaluator_.emplace(backend, pool, *cache_size_, mixture_);
  if (!dynamic_) return;
  // It learns from the text alone.
  model::ModelConfig config = model.parts.config.model;
  config.activation_l2 = config.activation_change_l2 = 0;
  adapted_ =
      config::load_network(model.file, config, model.parts.tokenizer->size(), backend,
                           kernels::training_arrays(kernels::UpdateKind::kSgd, /*average=*/false));
  eval::WindowObserver observe;
  if (cache_size_) {
    observe = [this](const eval::ScoredWindow& window) { cache_evaluator_->add(window); };
  }
  dynamic_evaluator_.emplace(*adapted_, *model.network, pool, *dynamic_, std::move(observe));
}

eval::WindowObserver Gains::observer() {
  if (dynamic_) {
    return [this](const eval::ScoredWindow& window) {
      // Segments are short, and the first stands at the start of the text.
      if (cache_size_) cache_evaluator_->begin(window);
      dynamic_evaluator_->add(window);
    };
  }
  if (cache_size_) {
    return [this](const eval::ScoredWindow& window) { cache_evaluator_->add(window); };
  }
  return nullptr;
}

void Gains::finish(const eval::Totals& plain) {
  plain_ = plain;
  if (dynamic_) {
    dynamic_evaluator_->finish();
    adapted_totals_ = dynamic_evaluator_->result(plain);
  }
  if (cache_size_) cached_ = cache_evaluator_->result(plain);
}

std::string Gains::json() const {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  if (dynamic_) {
    all["dynamic"] = {
        {"lr", dynamic_->lr}, {"decay", dynamic_->decay}, {"segment", dynamic_->segment}};
    all["dynamic"].update(figures_of(adapted_totals_));
  }
  if (cache_size_) {
    all["cache"] = {{"size", *cache_size_},
                    {"theta", cached_.mixture.theta},
                    {"lambda", cached_.mixture.lambda},
                    {"tuned_here", !mixture_},
                    {"over", dynamic_ ? "dynamic" : "plain"}};
    all["cache"].update(figures_of(cached_.totals));
  }
  return all.dump();
}

std::string Gains::report() const {
  std::string text;
  if (dynamic_) {
    text += line_of(
        "dynamic", adapted_totals_, plain_,
        fmt::format("lr {}, decay {}, a step each {} tokens", shortest_decimal(dynamic_->lr),
                    shortest_decimal(dynamic_->decay), dynamic_->segment));
  }
  if (!cache_size_) return text;
  const std::string theta = shortest_decimal(cached_.mixture.theta);
  const std::string lambda = shortest_decimal(cached_.mixture.lambda);
  text += line_of(dynamic_ ? "dynamic + cache" : "with cache", cached_.totals, plain_,
                  fmt::format("{} tokens, theta {}, lambda {}", *cache_size_, theta, lambda));
  if (!mixture_) {
    text += fmt::format(
        "                 theta and lambda are the best for this text: for another, take\n"
        "                 --cache {},{},{}\n",
        *cache_size_, theta, lambda);
  }
  return text;
}

}  // namespace sluice::cli
