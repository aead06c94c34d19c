#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <optional>

#include "sluice/base/file.h"
#include "sluice/base/memory.h"
#include "sluice/base/printable.h"
#include "sluice/base/stop_signal.h"
#include "sluice/config/open_model.h"
#include "sluice/config/run_text.h"
#include "sluice/eval/evaluation.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/optim/optimizer.h"
#include "sluice/text/file_stamps.h"
#include "sluice/train/plan.h"
#include "sluice/train/trainer.h"
#include "src/cli/commands.h"
#include "src/cli/dry_run.h"
#include "src/cli/idle_keys.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"
#include "src/cli/precision_option.h"
#include "src/cli/train_start.h"

namespace sluice::cli {
namespace {

using config::Config;
using train::RunDirectory;

// --stop-after, from the start of the command: what is lent by the hour is lent for reading and
// encoding too.
class Deadline {
 public:
  explicit Deadline(const std::optional<Seconds>& after) : after_(after) {}
  bool passed() const {
    return after_ && std::chrono::duration<double>(Clock::now() - begin_).count() >= after_->value;
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::optional<Seconds> after_;
  Clock::time_point begin_ = Clock::now();
};

// The run trains on its token files, whatever becomes of the texts; a resume will want them.
void warn_of_changes(text::FileStamps& stamps) {
  for (const std::string& file : stamps.changed()) {
    spdlog::warn(
        "{} changed since this run began; it goes on with the text as it was, a resume will refuse",
        printable(file));
  }
}

void note_resume(const train::TrainState& state, kernels::Precision before,
                 kernels::Precision now) {
  spdlog::info("resumed at step {}", state.step);
  if (before == now) return;
  spdlog::info("precision: {} until here, {} from here on", name_of(before), name_of(now));
}

// Says what is about to happen.
void announce(const Config& config, const RunDirectory& directory, const config::RunText& text,
              const model::GatedConvLm& network, const train::DiskPlan& disk) {
  const double parameters = static_cast<double>(network.parameters().elements());
  const double step_tokens = static_cast<double>(
      config.data.batch_size * config.data.tokens_per_sample * config.train.accumulate_steps);
  std::string length;
  if (config.train.max_steps) {
    length = fmt::format("{} steps of {}{:.0f} tokens", *config.train.max_steps,
                         config.data.mode == text::Mode::kLines ? "at most " : "", step_tokens);
  }
  if (config.train.max_epochs) {
    length += fmt::format("{}{} epochs", length.empty() ? "" : " or ", *config.train.max_epochs);
  }
  if (config.train.max_time) {
    length += fmt::format("{}{}", length.empty() ? "" : " or ",
                          train::format_duration(config.train.max_time->value));
  }
  spdlog::info("run: {}", directory.path());
  spdlog::info("text: {} training and {} validation tokens, vocabulary {}", text.train.size(),
               text.valid.size(), text.tokenizer->size());
  spdlog::info("network: {} parameters, receptive field {} tokens", train::format_count(parameters),
               model::receptive_field(config.model));
  spdlog::info("training: {}, {} ({}) on {} threads; at most {}B on disk", length,
               name_of(network.backend().precision()), network.backend().name(),
               config.train.threads > 0 ? config.train.threads : available_cpus(),
               train::format_count(disk.most));
  if (config.train.max_time && !config.train.max_steps && !config.train.max_epochs) {
    spdlog::info("bounded by time: the same command will not give the same model");
  }
}

ExitCode train_run(const Config& config, const train::ModelInfo& info, RunDirectory& directory,
                   const config::RunText& text, const text::Batcher& batches,
                   model::GatedConvLm& network, const train::TrainState& state,
                   train::Trainer::Context context, text::FileStamps& stamps,
                   const Deadline& deadline, train::ProgressBar& bar) {
  train::Trainer trainer(
      {.train = config.train,
       .optimizer = config.optimizer,
       .schedule = config.schedule,
       .model = network,
       .batches = batches,
       .batch_size = config.data.batch_size,
       .positions_per_sample = config.data.positions_per_sample(),
       .valid = text.valid,
       .mode = config.data.mode,
       .permutation = text.permutation,
       .end_of_line = text.tokenizer->end_of_line(),
       .info = info,
       .directory = directory,
       .bar = bar,
       .stop_requested = [&] { return StopSignal::requested() || directory.stop_requested(); },
       .out_of_time = [&] { return deadline.passed(); },
       .validated = [&] { warn_of_changes(stamps); }},
      state, std::move(context));
  if (trainer.finished()) {
    spdlog::info(
        "this run is finished; a higher limit (--max-steps, train.early_stop_evals) would go on "
        "with it");
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
  spdlog::info("for comparison: the frequencies of the tokens alone give {:.4f} nats per token",
               unigram_loss(text));
  return ExitCode::kDone;
}

// The best model's figure as `sluice eval` computes it, and so comparable, after a run that has
// validated in fewer bits. A stop or the deadline ends it early.
void evaluate_in_f32(const Config& config, const RunDirectory& directory,
                     const config::RunText& text, kernels::InstructionSet instructions,
                     ThreadPool& pool, const Deadline& deadline, train::ProgressBar& bar) {
  const auto backend = kernels::make_backend(pool, instructions);
  const config::OpenModel best = config::open_model(directory.best_path(), *backend);
  const auto tokens = static_cast<double>(text.valid.size());
  eval::Totals totals;
  const bool whole = eval::evaluate(
      *best.network, text.permutation, text.tokenizer->end_of_line(), config.data.mode, text.valid,
      [&](std::uint64_t scored, std::uint64_t) {
        bar.show(static_cast<double>(scored) / tokens, "evaluating in f32");
        return !StopSignal::requested() && !deadline.passed();
      },
      totals);
  bar.clear();
  if (!whole) return;
  spdlog::info("in f32, as \"sluice eval\": {:.4f} nats per token, perplexity {:.2f}",
               eval::nats_per_token(totals), eval::perplexity(totals));
}

// The run is done, whatever comes of this.
void tell_in_f32(const Config& config, const RunDirectory& directory, const config::RunText& text,
                 kernels::InstructionSet instructions, ThreadPool& pool, const Deadline& deadline,
                 train::ProgressBar& bar) {
  return_free_memory();  // of the batch: there will be a second network
  try {
    evaluate_in_f32(config, directory, text, instructions, pool, deadline, bar);
  } catch (const Error& error) {
    spdlog::warn("no figure in f32: {}", error.what());
  }
}

// Encodes the texts, and checks them against what the run goes on from.
config::RunText prepare_text(Start& start, text::Cache cache, const Deadline& deadline,
                             train::ProgressBar& bar, ThreadPool& pool) {
  config::RunText text = config::prepare_text(
      start.config.data, start.config.tokenizer, std::move(start.vocabulary),
      [](const std::string& note) { spdlog::info("{}", note); },
      [&](std::uint64_t done, std::uint64_t total) {
        // A resumed run catches signals from its start.
        if (StopSignal::requested() || deadline.passed()) {
          throw Error(ExitCode::kStopped, "{}: stopped before training began; nothing changed",
                      start.path);
        }
        const double part = static_cast<double>(done);
        bar.show(total > 0 ? part / static_cast<double>(total) : 0, "encoding the text");
      },
      cache, &pool);
  bar.clear();
  config::resolve_cutoffs(start.config, text,
                          [](const std::string& note) { spdlog::info("{}", note); });
  if (start.checkpoint) check_continuity(*start.checkpoint, start.config, text);
  if (start.init && text.tokenizer->unknown() >= 0) {
    spdlog::info("{}: {} of {} training tokens are outside its vocabulary", start.init->path(),
                 text.train.oov(), text.train.size());
  }
  return text;
}

train::ModelInfo model_info(const Config& config, const config::RunText& text,
                            kernels::Precision precision) {
  return {.config = to_json(config),
          .tokenizer = text.tokenizer->serialise(),
          .permutation = text.permutation.model_ids(),
          .data_hash = text.train.corpus_hash(),
          .valid_hash = text.valid.corpus_hash(),
          .tokenizer_hash = text.tokenizer->hash(),
          .precision = precision};
}

void begin_directory(Start& start, bool overwrite, const model::GatedConvLm& network,
                     const train::DiskPlan& disk) {
  // Everything that can be refused is refused before an older run's files go.
  network.state(start.config.data.batch_size, start.config.data.positions_per_sample(), true);
  check_disk(start.path, disk.checkpoint + disk.model);
  StopSignal::install();
  start.directory = std::make_unique<RunDirectory>(RunDirectory::open_new(start.path, overwrite));
  start.directory->clear();
}

ExitCode run_train(const TrainArguments& arguments, Output& out) {
  // A dry run has nothing to save.
  const Deadline deadline(arguments.dry_run ? std::nullopt : arguments.stop_after);
  Output::check_open();
  train::ProgressBar bar(wants_bar(arguments.verbosity));
  start_logging(arguments.verbosity, bar);
  const kernels::InstructionSet instructions = kernels::chosen_instruction_set();
  Start start = start_run(arguments);
  const Config& config = start.config;
  const kernels::Precision precision = settle_precision(config.train.precision, instructions);
  warn_of_idle_keys(config);
  const text::Cache cache = arguments.dry_run ? text::Cache::kReadOnly : text::Cache::kKeep;
  ThreadPool pool(config.train.threads > 0 ? static_cast<int>(config.train.threads)
                                           : available_cpus());
  std::vector<std::string> texts = config.data.train;
  texts.insert(texts.end(), config.data.valid.begin(), config.data.valid.end());
  text::FileStamps stamps(texts);
  const config::RunText text = prepare_text(start, cache, deadline, bar, pool);
  const auto batches = text::make_batcher(
      config.data, text.train, text.permutation, text.tokenizer->end_of_line(),
      model::context_rows(config.model), static_cast<std::uint64_t>(config.train.seed));
  const auto backend = kernels::make_backend(pool, instructions, precision);
  const kernels::ArraySet arrays =
      kernels::training_arrays(optim::update_kind(config.optimizer), config.train.ema_decay > 0);
  model::GatedConvLm network(config.model, text.tokenizer->size(), *backend, arrays);
  const train::ModelInfo info = model_info(config, text, precision);
  const train::TrainState state = load_weights(start, network);
  if (arguments.dry_run) {
    return dry_run({.config = config,
                    .path = start.path,
                    .text = text,
                    .batches = *batches,
                    .network = network,
                    .info = info,
                    .state = state,
                    .resumed = start.checkpoint != nullptr},
                   out);
  }
  const train::DiskPlan disk = train::plan_disk(
      network.parameters(), info, carried_bytes(config, network), config.train.keep_last);
  if (!start.checkpoint) begin_directory(start, arguments.overwrite, network, disk);
  write_file_atomically(start.directory->config_path(), info.config);
  log_to_file(start.directory->log_path());
  announce(config, *start.directory, text, network, disk);
  if (start.checkpoint) note_resume(state, start.checkpoint->info().precision, precision);
  if (start.init) spdlog::info("initial weights: {}", start.init->path());
  train::Trainer::Context context;
  if (start.checkpoint && batches->carries() && state.leaves_context()) {
    context = start.checkpoint->context(config.data.batch_size, model::context_rows(config.model),
                                        network.state(1, 1, false)->context_widths());
  }
  start.checkpoint.reset();
  start.init.reset();
  const ExitCode end = train_run(config, info, *start.directory, text, *batches, network, state,
                                 std::move(context), stamps, deadline, bar);
  if (end != ExitCode::kDone) return end;
  out.write(start.directory->best_path() + "\n");
  if (precision != kernels::Precision::kF32 && !deadline.passed()) {
    tell_in_f32(config, *start.directory, text, instructions, pool, deadline, bar);
  }
  return end;
}

}  // namespace

Action set_up_train(CLI::App& command) {
  auto arguments = std::make_shared<TrainArguments>();
  add_config_arguments(command, arguments->config, Presence::kOptional);
  add_text_arguments(command, arguments->text);
  add_option(command, "--out", arguments->out, "DIR",
             "where the run is kept; default: runs/<name of the config>");
  add_flag(command, "--resume", arguments->resume, "go on with the run in DIR");
  add_flag(command, "--overwrite", arguments->overwrite, "replace the run in DIR");
  add_option(command, "--init", arguments->init, "MODEL",
             "a new run with the weights and the tokenizer of this model or run");
  add_option(command, "--seed", arguments->seed, "N", "instead of train.seed",
             {.min = 0, .max = 9e15});
  add_option(command, "--max-steps", arguments->max_steps, "N", "instead of train.max_steps",
             {.min = 1, .max = 9e15});
  add_option(command, "--max-time", arguments->max_time, "TIME",
             "instead of train.max_time: 90s, 90m, 2h", {.min = 0, .max = 1e9, .above_min = true});
  add_option(command, "--stop-after", arguments->stop_after, "TIME",
             "from now on: save and exit with 75 after this long; --resume goes on",
             {.min = 0, .max = 1e9, .above_min = true});
  add_option(command, "--threads", arguments->threads, "N", "instead of train.threads",
             {.min = 0, .max = 4096});
  add_precision(command, arguments->precision, "instead of train.precision");
  add_flag(command, "--dry-run", arguments->dry_run,
           "print what the run would need and take, write nothing");
  add_verbosity(command, arguments->verbosity);
  return [arguments](Output& out) { return run_train(*arguments, out); };
}

}  // namespace sluice::cli
