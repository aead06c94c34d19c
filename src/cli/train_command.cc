#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>

#include "sluice/base/file.h"
#include "sluice/base/stop_signal.h"
#include "sluice/config/open_model.h"
#include "sluice/config/run_text.h"
#include "sluice/optim/optimizer.h"
#include "sluice/train/trainer.h"
#include "src/cli/commands.h"
#include "src/cli/config_arguments.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

namespace fs = std::filesystem;
using config::Config;
using train::RunDirectory;

struct TrainArguments {
  ConfigArguments config;
  std::vector<std::string> train, valid;
  std::optional<std::string> out;
  bool resume = false, overwrite = false;
  std::optional<Index> seed, max_steps, threads;
  std::optional<Seconds> max_time;
  Verbosity verbosity;
};

// An empty path stays one, for check_config() to refuse.
std::string absolute(const std::string& path) {
  return path.empty() ? path : fs::absolute(path).lexically_normal().string();
}

// The options that are short for a key, on top of a config.
void apply_options(const TrainArguments& arguments, Config& config) {
  if (!arguments.train.empty()) config.data.train = arguments.train;
  if (!arguments.valid.empty()) config.data.valid = arguments.valid;
  if (arguments.seed) config.train.seed = *arguments.seed;
  if (arguments.max_steps) config.train.max_steps = arguments.max_steps;
  if (arguments.max_time) config.train.max_time = arguments.max_time;
  if (arguments.threads) config.train.threads = *arguments.threads;
  // The run must find its text again from anywhere.
  for (std::vector<std::string>* files : {&config.data.train, &config.data.valid}) {
    for (std::string& file : *files) file = absolute(file);
  }
  if (config.data.cache_dir) config.data.cache_dir = absolute(*config.data.cache_dir);
  check_config(config);
}

std::string default_directory(const TrainArguments& arguments) {
  return (fs::path("runs") / fs::path(arguments.config.config.value_or("default")).stem()).string();
}

// What may differ between a run and its resume: limits, intervals, threads.
void check_resumed(const Config& before, const Config& now) {
  for (const std::string& key : config::differing_keys(before, now)) {
    const std::string_view leaf = std::string_view(key).substr(key.rfind('.') + 1);
    const bool allowed =
        key.starts_with("train.") && (leaf.starts_with("max_") || leaf.ends_with("_every") ||
                                      leaf == "keep_last" || leaf == "threads");
    if (allowed || key == "data.cache_dir") continue;
    throw Error(ExitCode::kUsage,
                "{}: cannot change when a run is resumed (limits, intervals and threads can)", key);
  }
}

// The newest checkpoint that is whole; those that are not are named and left where they are.
std::unique_ptr<train::ModelFile> newest_checkpoint(const RunDirectory& directory) {
  const auto checkpoints = directory.checkpoints();
  for (const auto& checkpoint : checkpoints) {
    try {
      auto file = std::make_unique<train::ModelFile>(checkpoint.path);
      if (file->is_checkpoint()) return file;
      throw Error(ExitCode::kBadData, "{}: not a checkpoint", checkpoint.path);
    } catch (const Error& error) {
      const bool unusable =
          error.code() == ExitCode::kBadData || error.code() == ExitCode::kNoInput;
      if (!unusable || &checkpoint == &checkpoints.back()) throw;
      spdlog::warn("{}; going on from the one before it", error.what());
    }
  }
  throw Error(ExitCode::kNoInput, "{}: no checkpoint to resume from", directory.path());
}

// A resumed run must find what it left: the same texts, cut and numbered as before.
void check_continuity(const train::ModelFile& checkpoint, const Config& config,
                      const config::RunText& text) {
  const train::ModelInfo& info = checkpoint.info();
  const auto same = [](std::uint64_t before, std::uint64_t now, const std::string& file,
                       std::string_view what) {
    if (before == now) return;
    throw Error(ExitCode::kBadData, "{}: the {} text is not the one that this run began with", file,
                what);
  };
  same(info.data_hash, text.train.corpus_hash(), config.data.train.front(), "training");
  same(info.valid_hash, text.valid.corpus_hash(),
       config.data.valid.empty() ? config.data.train.front() : config.data.valid.front(),
       "validation");
  if (info.permutation != text.permutation.model_ids()) {
    throw Error(ExitCode::kBadData, "{}: permutation: not that of the training text",
                checkpoint.path());
  }
  const train::TrainState& state = checkpoint.state();
  const auto per_step =
      static_cast<std::uint64_t>(config.data.batch_size * config.train.accumulate_steps);
  if (state.samples % per_step != 0 ||
      state.samples / per_step != static_cast<std::uint64_t>(state.step)) {
    throw Error(ExitCode::kBadData, "{}: training state: step {} and samples {} do not fit",
                checkpoint.path(), state.step, state.samples);
  }
}

// Whether the first files of a run fit on the disk, before those of an older run are given up.
void check_disk(const std::string& path, double bytes) {
  std::error_code error;
  fs::path existing = fs::absolute(path);
  while (!fs::exists(existing, error) && existing.has_parent_path() &&
         existing != existing.parent_path()) {
    existing = existing.parent_path();
  }
  const fs::space_info space = fs::space(existing, error);
  if (error || static_cast<double>(space.available) >= bytes) return;
  throw Error(ExitCode::kOutput, "{}: disk full (expected {}B free, found {}B)", path,
              train::format_count(bytes),
              train::format_count(static_cast<double>(space.available)));
}

// What a run starts from: a config, and when resumed the checkpoint and tokenizer of before.
struct Start {
  Config config;
  std::unique_ptr<RunDirectory> directory;  // null until a new run is ready to be created
  std::unique_ptr<train::ModelFile> checkpoint;
  std::unique_ptr<text::Tokenizer> tokenizer;
};

Start resume(const TrainArguments& arguments) {
  if (!arguments.out && !arguments.config.config) {
    throw Error(ExitCode::kUsage, "--resume: which run? (expected --out DIR)");
  }
  Start start;
  const std::string path = arguments.out.value_or(default_directory(arguments));
  start.directory = std::make_unique<RunDirectory>(RunDirectory::open_existing(path));
  // From here on a stop finds something to go on from.
  StopSignal::install();
  start.checkpoint = newest_checkpoint(*start.directory);
  config::ModelParts parts = config::model_parts(*start.checkpoint);
  start.tokenizer = std::move(parts.tokenizer);
  start.config = parts.config;
  if (arguments.config.config) {
    start.config = effective_config(arguments.config);
  } else {
    apply_settings(arguments.config, start.config);
  }
  apply_options(arguments, start.config);
  check_resumed(parts.config, start.config);
  return start;
}

Start begin(const TrainArguments& arguments) {
  Start start;
  start.config = effective_config(arguments.config);
  apply_options(arguments, start.config);
  return start;
}

// Says what is about to happen.
void announce(const Config& config, const RunDirectory& directory, const config::RunText& text,
              const model::GatedConvLm& network, int states) {
  const double parameters = static_cast<double>(network.parameters().elements());
  const double step_tokens = static_cast<double>(
      config.data.batch_size * config.data.tokens_per_sample * config.train.accumulate_steps);
  std::string length;
  if (config.train.max_steps) {
    length = fmt::format("{} steps of {:.0f} tokens", *config.train.max_steps, step_tokens);
  }
  if (config.train.max_epochs) {
    length += fmt::format("{}{} epochs", length.empty() ? "" : " or ", *config.train.max_epochs);
  }
  if (config.train.max_time) {
    length += fmt::format("{}{}", length.empty() ? "" : " or ",
                          train::format_duration(config.train.max_time->value));
  }
  const double file = 4 * parameters, kept = static_cast<double>(config.train.keep_last) + 1;
  spdlog::info("run: {}", directory.path());
  spdlog::info("text: {} training and {} validation tokens, vocabulary {}", text.train.size(),
               text.valid.size(), text.tokenizer->size());
  spdlog::info("network: {} parameters, receptive field {} tokens", train::format_count(parameters),
               model::receptive_field(config.model));
  spdlog::info("training: {}, f32 on {} threads; at most {}B on disk", length,
               config.train.threads > 0 ? config.train.threads : available_cpus(),
               train::format_count(file * (kept * (1 + states) + 1)));
  if (config.train.max_time && !config.train.max_steps && !config.train.max_epochs) {
    spdlog::info("bounded by time: the same command will not give the same model");
  }
}

ExitCode train_run(const Config& config, RunDirectory& directory, const config::RunText& text,
                   const text::StreamBatcher& batches, model::GatedConvLm& network,
                   const train::TrainState& state, train::ProgressBar& bar, Output& out) {
  const train::ModelInfo info = {.config = to_json(config),
                                 .tokenizer = text.tokenizer->serialise(),
                                 .permutation = text.permutation.model_ids(),
                                 .data_hash = text.train.corpus_hash(),
                                 .valid_hash = text.valid.corpus_hash(),
                                 .tokenizer_hash = text.tokenizer->hash()};
  train::Trainer trainer(
      {.train = config.train,
       .optimizer = config.optimizer,
       .schedule = config.schedule,
       .model = network,
       .batches = batches,
       .batch_size = config.data.batch_size,
       .tokens_per_sample = config.data.tokens_per_sample,
       .valid = text.valid,
       .permutation = text.permutation,
       .end_of_line = text.tokenizer->end_of_line(),
       .info = info,
       .directory = directory,
       .bar = bar,
       .stop_requested = [&] { return StopSignal::requested() || directory.stop_requested(); }},
      state);
  if (trainer.finished()) {
    spdlog::info("this run is finished; a higher limit, e.g. --max-steps, would go on with it");
  } else {
    spdlog::info("estimated time: {}; Ctrl-C stops and saves",
                 train::format_duration(trainer.estimate_seconds()));
  }
  const train::Trainer::Outcome outcome = trainer.run();
  bar.clear();
  const train::TrainState& end = trainer.state();
  if (outcome == train::Trainer::Outcome::kStopped) {
    directory.remove_stop();
    spdlog::warn("stopped at step {} and saved; go on with: sluice train --resume --out {}",
                 end.step, directory.path());
    return ExitCode::kStopped;
  }
  spdlog::info("done: {} steps in {}; best: step {}, {:.4f} nats per token, perplexity {:.2f}",
               end.step, train::format_duration(end.elapsed_seconds), end.best_step, end.best_loss,
               std::exp(end.best_loss));
  out.write(directory.best_path() + "\n");
  return ExitCode::kDone;
}

ExitCode run_train(const TrainArguments& arguments, Output& out) {
  if (arguments.resume && arguments.overwrite) {
    throw Error(ExitCode::kUsage, "--resume and --overwrite: expected one of them, found both");
  }
  if (arguments.out && arguments.out->empty()) {
    throw Error(ExitCode::kUsage, "--out: empty (expected a directory, found \"\")");
  }
  Output::check_open();
  train::ProgressBar bar(wants_bar(arguments.verbosity));
  start_logging(arguments.verbosity, bar);
  Start start = arguments.resume ? resume(arguments) : begin(arguments);
  const std::string path = arguments.out.value_or(default_directory(arguments));
  if (!arguments.resume) RunDirectory::check_new(path, arguments.overwrite);

  const Config& config = start.config;
  config::RunText text = config::prepare_text(
      config.data, config.tokenizer, std::move(start.tokenizer),
      [](const std::string& note) { spdlog::info("{}", note); },
      [&](std::uint64_t done, std::uint64_t total) {
        const double part = static_cast<double>(done);
        bar.show(total > 0 ? part / static_cast<double>(total) : 0, "encoding the text");
      });
  bar.clear();
  if (start.checkpoint) check_continuity(*start.checkpoint, config, text);
  const text::StreamBatcher batches(text.train, text.permutation, text.tokenizer->end_of_line(),
                                    config.data.tokens_per_sample, config.data.batch_size,
                                    static_cast<std::uint64_t>(config.train.seed));
  ThreadPool pool(config.train.threads > 0 ? static_cast<int>(config.train.threads)
                                           : available_cpus());
  const auto backend = kernels::make_reference_backend(pool);
  model::GatedConvLm network(config.model, text.tokenizer->size(), *backend,
                             optim::arrays_needed(config.optimizer));
  train::TrainState state;
  if (start.checkpoint) {
    start.checkpoint->load(network, true);
    state = start.checkpoint->state();
  } else {
    network.initialise(static_cast<std::uint64_t>(config.train.seed));
    // Everything that can be refused is refused before an older run's files go.
    const std::string resolved = to_json(config);
    network.state(config.data.batch_size, config.data.tokens_per_sample, true);
    check_disk(path, 4.0 * static_cast<double>(network.parameters().elements()) *
                         optim::arrays_needed(config.optimizer));
    StopSignal::install();
    start.directory =
        std::make_unique<RunDirectory>(RunDirectory::open_new(path, arguments.overwrite));
    start.directory->clear();
  }
  write_file_atomically(start.directory->config_path(), to_json(config));
  log_to_file(start.directory->log_path());
  announce(config, *start.directory, text, network, optim::arrays_needed(config.optimizer) - 2);
  if (start.checkpoint) spdlog::info("resumed at step {}", state.step);
  start.checkpoint.reset();
  return train_run(config, *start.directory, text, batches, network, state, bar, out);
}

}  // namespace

Action set_up_train(CLI::App& command) {
  auto arguments = std::make_shared<TrainArguments>();
  add_config_arguments(command, arguments->config, Presence::kOptional);
  add_list(command, "--train", arguments->train, "FILE", "training text, instead of data.train");
  add_list(command, "--valid", arguments->valid, "FILE", "validation text, instead of data.valid");
  add_option(command, "--out", arguments->out, "DIR",
             "where the run is kept; default: runs/<name of the config>");
  add_flag(command, "--resume", arguments->resume, "go on with the run in DIR");
  add_flag(command, "--overwrite", arguments->overwrite, "replace the run in DIR");
  add_option(command, "--seed", arguments->seed, "N", "instead of train.seed",
             {.min = 0, .max = 9e15});
  add_option(command, "--max-steps", arguments->max_steps, "N", "instead of train.max_steps",
             {.min = 1, .max = 9e15});
  add_option(command, "--max-time", arguments->max_time, "TIME",
             "instead of train.max_time: 90s, 90m, 2h", {.min = 0, .max = 1e9, .above_min = true});
  add_option(command, "--threads", arguments->threads, "N", "instead of train.threads",
             {.min = 0, .max = 4096});
  add_verbosity(command, arguments->verbosity);
  return [arguments](Output& out) { return run_train(*arguments, out); };
}

}  // namespace sluice::cli
