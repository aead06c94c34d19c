#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "sluice/eval/evaluation.h"
#include "sluice/optim/optim_config.h"
#include "sluice/text/batcher.h"
#include "sluice/train/checkpoint.h"
#include "sluice/train/flow.h"
#include "sluice/train/metrics.h"
#include "sluice/train/progress.h"
#include "sluice/train/run_directory.h"
#include "sluice/train/train_config.h"

namespace sluice::train {

// What a run is made of; all of it outlives the trainer.
struct Run {
  const TrainConfig& train;
  const optim::OptimizerConfig& optimizer;
  const optim::ScheduleConfig& schedule;
  model::GatedConvLm& model;
  const text::Batcher& batches;
  Index batch_size, positions_per_sample;
  const text::TokenFile& valid;
  text::Mode mode;  // how it is scored
  const text::Permutation& permutation;
  int end_of_line;
  const ModelInfo& info;
  RunDirectory& directory;
  ProgressBar& bar;
  // Asked between steps and validation windows: a signal, a file STOP.
  std::function<bool()> stop_requested;
  // The same by the clock, which lets a process end the validation that it begins with: one that
  // takes longer than the clock grants would else never come to its end.
  std::function<bool()> out_of_time = [] { return false; };
  // Called after each validation, for what is to be looked at now and then.
  std::function<void()> validated = [] {};
};

// The training loop. A step: gradient of the summed nats over accumulate_steps micro-batches,
// divided by the target count, clipped, applied. Everything that happens is a function of the
// config and of TrainState; the same state continues with the same bits.
//
// Where batches continue others (data.carry_context), the rows that a convolution reads in front of
// a window are those of the window before, as its step computed them: with the weights and the
// dropout of that step. They are constants to the gradient, as in truncated backpropagation through
// time (Williams & Peng 1990). A mask that is the same over a whole window thus changes at its
// begin. A checkpoint holds these rows.
//
// With moving averages (train.ema_decay) these validate and become the best model; they start as
// the initial weights. Plateau and early stop count the validations that are scheduled, those at
// multiples of eval_every, and not another one at the end. Weights that are another model's
// (TrainState::baseline_due) validate before the first step, which is what they start counting
// from.
class Trainer {
 public:
  enum class Outcome { kFinished, kStopped };

  using Context = model::GatedConvLm::State::Context;

  // state: from a checkpoint whose weights and optimiser states are in the model, or a fresh one;
  // context: ModelFile::context() of that checkpoint.
  Trainer(const Run& run, const TrainState& state, Context context = {});
  // Until a limit is reached or early_stop_evals are used up (kFinished) or a stop is asked for
  // (kStopped); saved in both cases. Errors: kDiverged after max_bad_steps non-finite steps in a
  // row, or when at the end the weights are not finite or no validation was; kOutput when the first
  // or the last checkpoint, or at the end a new best model, cannot be written (what fails in
  // between is retried at the next interval).
  Outcome run();

  const TrainState& state() const { return state_; }
  // Whether a limit has been reached: run() has nothing left to train.
  bool finished() const { return progress(0) >= 1 || out_of_patience(); }
  // How long the rest of the run will take, from a few forward passes; to be asked before run().
  double estimate_seconds();

 private:
  void step();
  // `flow` may be null.
  bool apply(double nats, Index targets, double lr, Flow* flow);
  // False when stopped halfway; it is then done after the resume.
  bool validate();
  bool evaluate(eval::Totals& totals);
  void count_validation(double loss);
  // Makes this the best model and writes it, or says why not.
  bool keep_best(double loss, const TrainState& before_validation);
  void save(bool must_succeed);
  void log_step();
  void check_divergence() const;
  // Whether the next step may go on from the context that the memory has.
  bool carries() const;
  bool owes_validation() const;
  bool must_stop() const;
  bool out_of_patience() const;
  double peak_lr() const;
  double progress(double steps_ahead) const;
  double epochs() const;
  bool due(Index every) const { return state_.step % every == 0 || finished(); }
  double seconds() const;
  double remaining_seconds() const;
  Index samples_per_step() const { return run_.batch_size * run_.train.accumulate_steps; }

  Run run_;
  TrainState state_;
  Metrics metrics_;
  text::Batch batch_;
  std::unique_ptr<model::GatedConvLm::State> memory_;
  Context context_;  // for it, until run()
  std::chrono::steady_clock::time_point started_;
  double seconds_before_ = 0, progress_at_start_ = 0, step_seconds_ = 0;
  std::uint64_t last_sample_ = 0;  // with which max_epochs ends
  // Speed over the rows since the last log, without validation and saving.
  double interval_seconds_ = 0, interval_tokens_ = 0, tokens_per_second_ = 0;
  bool metrics_warned_ = false;
  bool begins_with_validation_ = false;
};

}  // namespace sluice::train
