#include "src/cli/train_start.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "sluice/base/error.h"
#include "sluice/base/stop_signal.h"
#include "sluice/config/open_model.h"
#include "sluice/train/progress.h"
#include "src/cli/fitted_config.h"
#include "src/cli/precision_option.h"

namespace sluice::cli {
namespace {

namespace fs = std::filesystem;
using config::Config;
using train::RunDirectory;

// The options that are short for a key, on top of a config.
void apply_options(const TrainArguments& arguments, Config& config) {
  apply_text_arguments(arguments.text, config.data);
  if (arguments.seed) config.train.seed = *arguments.seed;
  if (arguments.max_steps) config.train.max_steps = arguments.max_steps;
  if (arguments.max_time) config.train.max_time = arguments.max_time;
  if (arguments.threads) config.train.threads = *arguments.threads;
  if (arguments.precision) config.train.precision = parse_precision(*arguments.precision);
  if (config.tokenizer.file) config.tokenizer.file = absolute_path(*config.tokenizer.file);
}

std::string default_directory(const TrainArguments& arguments) {
  return (fs::path("runs") / fs::path(arguments.config.config.value_or("default")).stem()).string();
}

// "auto" cutoffs are chosen once, when a model begins.
void take_cutoffs(const Config& from, Config& config) {
  if (!config.model.output.cutoffs) config.model.output.cutoffs = from.model.output.cutoffs;
}

// What may differ between a run and its resume: limits, intervals, and what belongs to the machine.
void check_resumed(const Config& before, const Config& now) {
  for (const std::string& key : config::differing_keys(before, now)) {
    const std::string_view leaf = std::string_view(key).substr(key.rfind('.') + 1);
    const bool allowed =
        key.starts_with("train.") &&
        (leaf.starts_with("max_") || leaf.ends_with("_every") || leaf == "keep_last" ||
         leaf == "threads" || leaf == "precision" || leaf == "early_stop_evals");
    if (allowed || key == "data.cache_dir") continue;
    throw Error(ExitCode::kUsage,
                "{}: cannot change when a run is resumed (expected {}, found {}); limits, "
                "intervals, train.early_stop_evals, train.threads, train.precision and "
                "data.cache_dir can",
                key, value_of_key(before, key), value_of_key(now, key));
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

Start resume(const TrainArguments& arguments) {
  if (!arguments.out && !arguments.config.config) {
    throw Error(ExitCode::kUsage, "--resume: which run? (expected --out DIR)");
  }
  Start start;
  start.path = arguments.out.value_or(default_directory(arguments));
  if (arguments.dry_run) {
    RunDirectory::check_existing(start.path);
    RunDirectory::check_unlocked(start.path);
    start.checkpoint = newest_checkpoint(RunDirectory::open_to_read(start.path));
  } else {
    start.directory = std::make_unique<RunDirectory>(RunDirectory::open_existing(start.path));
    // From here on a stop finds something to go on from.
    StopSignal::install();
    start.checkpoint = newest_checkpoint(*start.directory);
  }
  config::ModelParts parts = config::model_parts(*start.checkpoint);
  start.vocabulary = {std::move(parts.tokenizer), std::move(parts.permutation)};
  start.config = parts.config;
  if (arguments.config.config) {
    start.config = effective_config(arguments.config);
  } else {
    apply_settings(arguments.config, start.config);
  }
  apply_options(arguments, start.config);
  check_config(start.config);
  take_cutoffs(parts.config, start.config);
  check_resumed(parts.config, start.config);
  return start;
}

// The network of a new run must be that of the model that it takes its weights from.
void check_same_network(const Config& model, const Config& config, const std::string& file) {
  if (const auto difference = network_difference(model, config)) {
    throw Error(ExitCode::kUsage, "{}: not that of --init {} (expected {}, found {})",
                difference->key, file, difference->expected, difference->found);
  }
}

// A model goes on with its tokenizer, of which the meaning of <unk> in the text is a part.
void take_tokenizer(const Config& from, const std::string& file, Config& config) {
  const bool unknown_differs = config.data.unk_in_text != from.data.unk_in_text;
  if (config.tokenizer == from.tokenizer && !unknown_differs) return;
  spdlog::info("tokenizer: that of {}, not that of the config{}", file,
               unknown_differs
                   ? fmt::format("; data.unk_in_text is {} with it", from.data.unk_in_text)
                   : "");
  config.tokenizer = from.tokenizer;
  config.data.unk_in_text = from.data.unk_in_text;
}

// --overwrite removes the run before long before there is a checkpoint of the new one: a model must
// not go with it.
void check_not_overwritten(const std::string& run, const std::string& model) {
  if (!RunDirectory::is_run(run)) return;
  const RunDirectory directory = RunDirectory::open_to_read(run);
  std::vector<std::string> files = {directory.best_path()};
  for (const auto& checkpoint : directory.checkpoints()) files.push_back(checkpoint.path);
  std::error_code error;
  for (const std::string& file : files) {
    if (!fs::equivalent(file, model, error)) continue;
    throw Error(ExitCode::kUsage,
                "--init {}: --overwrite would remove it before the new run has saved anything "
                "(expected another --out, found {})",
                model, run);
  }
}

// Without CONFIG, MODEL's own with other text. What belongs to the machine stays behind: no file
// that is handed on may name a folder to be made or read.
void begin_from_model(const TrainArguments& arguments, Start& start) {
  start.init =
      std::make_unique<train::ModelFile>(config::model_path(*arguments.init, config::Which::kBest));
  config::ModelParts parts = config::model_parts(*start.init);
  if (arguments.config.config) {
    start.config = effective_config(arguments.config);
  } else {
    start.config = parts.config;
    start.config.data.train.clear();
    start.config.data.valid.clear();
    start.config.data.valid_fraction = text::DataConfig{}.valid_fraction;
    start.config.data.cache_dir.reset();
    start.config.train.threads = train::TrainConfig{}.threads;
    start.config.train.precision = train::TrainConfig{}.precision;
    apply_settings(arguments.config, start.config);
  }
  take_cutoffs(parts.config, start.config);
  check_same_network(parts.config, start.config, start.init->path());
  take_tokenizer(parts.config, start.init->path(), start.config);
  start.vocabulary = {std::move(parts.tokenizer), std::move(parts.permutation)};
}

Start begin(const TrainArguments& arguments) {
  Start start;
  start.path = arguments.out.value_or(default_directory(arguments));
  RunDirectory::check_new(start.path, arguments.overwrite);
  if (arguments.init) {
    begin_from_model(arguments, start);
  } else if (arguments.config.config) {
    start.config = effective_config(arguments.config);
  } else {
    start.config = config_for_text(arguments.config,
                                   [&](Config& config) { apply_options(arguments, config); });
  }
  apply_options(arguments, start.config);
  check_config(start.config);
  if (arguments.init) check_not_overwritten(start.path, start.init->path());
  if (arguments.dry_run) RunDirectory::check_unlocked(start.path);
  return start;
}

}  // namespace

Start start_run(const TrainArguments& arguments) {
  if (arguments.resume && arguments.overwrite) {
    throw Error(ExitCode::kUsage, "--resume and --overwrite: expected one of them, found both");
  }
  if (arguments.resume && arguments.init) {
    throw Error(ExitCode::kUsage, "--resume and --init: expected one of them, found both");
  }
  if (arguments.out && arguments.out->empty()) {
    throw Error(ExitCode::kUsage, "--out: empty (expected a directory, found \"\")");
  }
  return arguments.resume ? resume(arguments) : begin(arguments);
}

train::TrainState load_weights(const Start& start, model::GatedConvLm& network) {
  train::TrainState state;
  if (start.checkpoint) {
    start.checkpoint->load(network, true);
    return start.checkpoint->state();
  }
  if (start.init) {
    start.init->load(network, false);
    // The best model is to be no worse than the one before.
    state.baseline_due = 1;
  } else {
    network.initialise(static_cast<std::uint64_t>(start.config.train.seed));
  }
  return state;
}

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
  const train::TrainState& state = checkpoint.state();
  const auto per_step =
      static_cast<std::uint64_t>(config.data.batch_size * config.train.accumulate_steps);
  if (state.samples % per_step != 0 ||
      state.samples / per_step != static_cast<std::uint64_t>(state.step)) {
    throw Error(ExitCode::kBadData, "{}: training state: step {} and samples {} do not fit",
                checkpoint.path(), state.step, state.samples);
  }
}

double carried_bytes(const Config& config, const model::GatedConvLm& network) {
  return config.data.carry_context ? static_cast<double>(config.data.batch_size) *
                                         network.state(1, 1, false)->context_bytes()
                                   : 0;
}

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

}  // namespace sluice::cli
