#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "sluice/base/error.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/model/cutoffs.h"
#include "sluice/train/benchmark.h"
#include "sluice/train/zipf.h"
#include "src/cli/bench_report.h"
#include "src/cli/commands.h"
#include "src/cli/config_arguments.h"
#include "src/cli/logging.h"
#include "src/cli/model_arguments.h"
#include "src/cli/network_report.h"
#include "src/cli/options.h"
#include "src/cli/output.h"
#include "src/cli/precision_option.h"

namespace sluice::cli {
namespace {

// Of a text for which "auto" cutoffs would be chosen: about WikiText-2's.
constexpr std::uint64_t kTextTokens = 2'000'000;

struct BenchArguments {
  ConfigArguments config;
  std::optional<Index> threads;
  std::optional<std::string> weights, precision;
  double seconds = 10;
  bool json = false;
  Verbosity verbosity;
};

config::Config checked_config(const BenchArguments& arguments) {
  config::Config config = effective_config(arguments.config);
  if (arguments.threads) config.train.threads = *arguments.threads;
  if (arguments.precision) config.train.precision = parse_precision(*arguments.precision);
  // The length of a run does not matter here.
  const train::TrainConfig& limits = config.train;
  if (!limits.max_steps && !limits.max_epochs && !limits.max_time) config.train.max_steps = 1;
  check_config(config);
  return config;
}

Index vocabulary_of(const config::Config& config, const std::string& name) {
  if (const auto words = known_vocabulary(config)) return *words;
  throw Error(ExitCode::kUsage,
              "{}: tokenizer.vocab_size: not known without a text (expected a number, found "
              "\"auto\"); e.g. --set tokenizer.vocab_size=10000",
              name);
}

// "auto" cutoffs as they would be for a text of these words.
void resolve_cutoffs(config::Config& config, Index vocabulary) {
  model::OutputConfig& output = config.model.output;
  if (output.type != model::OutputType::kAdaptive || output.cutoffs) return;
  const model::CutoffShape shape = {.width = model::output_width(config.model),
                                    .tail_div = output.tail_div};
  output.cutoffs = model::choose_cutoffs(shape, train::ZipfText(vocabulary, 1).counts(kTextTokens));
  spdlog::info("cutoffs: [{}]", fmt::join(*output.cutoffs, ", "));
}

ExitCode run_bench(const BenchArguments& arguments, Output& out) {
  Output::check_open();
  const kernels::WeightFormat weights = parse_weights(arguments.weights);
  train::ProgressBar bar(wants_bar(arguments.verbosity));
  start_logging(arguments.verbosity, bar);
  config::Config config = checked_config(arguments);
  const Index vocabulary = vocabulary_of(config, *arguments.config.config);
  const kernels::InstructionSet instructions = kernels::chosen_instruction_set();
  const kernels::Precision precision = settle_precision(config.train.precision, instructions);
  resolve_cutoffs(config, vocabulary);
  const train::BenchmarkSetup setup = {.model = config.model,
                                       .optimizer = config.optimizer,
                                       .vocabulary = vocabulary,
                                       .batch_size = config.data.batch_size,
                                       .tokens_per_sample = config.data.tokens_per_sample,
                                       .accumulate_steps = config.train.accumulate_steps,
                                       .context_tokens = config.data.context_tokens,
                                       .carry_context = config.data.carry_context,
                                       .ema_decay = config.train.ema_decay,
                                       .seed = static_cast<std::uint64_t>(config.train.seed),
                                       .weights = weights,
                                       .seconds = arguments.seconds};
  ThreadPool pool(config.train.threads > 0 ? static_cast<int>(config.train.threads)
                                           : available_cpus());
  const auto backend = kernels::make_backend(pool, instructions, precision);
  std::string current;
  const auto progress = [&](std::string_view stage, double done) {
    if (!bar.enabled() && stage != current) spdlog::info("{:>3.0f} % | {}", 100 * done, stage);
    current = stage;
    bar.show(done, current);
  };
  const train::BenchmarkResult result = run_benchmark(setup, pool, *backend, progress);
  bar.clear();
  const BenchReport report = {.config = *arguments.config.config,
                              .vocabulary = vocabulary,
                              .batch_size = setup.batch_size,
                              .tokens_per_sample = setup.tokens_per_sample,
                              .accumulate_steps = setup.accumulate_steps,
                              .context_tokens = setup.context_tokens,
                              .carry_context = setup.carry_context,
                              .backend = std::string(backend->name()),
                              .precision = backend->precision(),
                              .weights = weights,
                              .threads = pool.size(),
                              .result = result};
  out.write(arguments.json ? as_json(report) : as_text(report));
  return ExitCode::kDone;
}

}  // namespace

Action set_up_bench(CLI::App& command) {
  auto arguments = std::make_shared<BenchArguments>();
  add_config_arguments(command, arguments->config, Presence::kRequired);
  add_option(command, "--threads", arguments->threads, "N",
             "threads; 0: the CPUs this process may use; default: train.threads",
             {.min = 0, .max = 4096});
  add_precision(command, arguments->precision,
                "of training and evaluation; default: train.precision, which by default is auto: "
                "bf16 where the CPU has AMX, else f32");
  add_weights(command, arguments->weights, "that tokens are written with");
  add_option(command, "--seconds", arguments->seconds, "S",
             "how long to measure, about; three repeats of everything are made whatever they take",
             {.min = 0.01, .max = 86400});
  add_flag(command, "--json", arguments->json, "one JSON object instead of a table");
  add_verbosity(command, arguments->verbosity);
  return [arguments](Output& out) { return run_bench(*arguments, out); };
}

}  // namespace sluice::cli
