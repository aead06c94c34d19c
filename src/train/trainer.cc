#include "sluice/train/trainer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/optim/optimizer.h"
#include "sluice/optim/schedule.h"
#include "sluice/train/plan.h"
#include "sluice/train/step.h"

namespace sluice::train {

using Clock = std::chrono::steady_clock;

namespace {

// While it lives, the model computes with the averages of its weights, if it keeps any.
class AveragedWeights {
 public:
  explicit AveragedWeights(nn::ParameterStore& store) : store_(store) { swap(); }
  // On an error's way out, when nothing else may be thrown: whoever catches it ends the run.
  ~AveragedWeights() {
    try {
      restore();
    } catch (...) {
    }
  }
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

  // Ends it where what goes wrong can be told.
  void restore() {
    if (std::exchange(active_, false)) swap();
  }

 private:
  void swap() {
    if (store_.arrays().has(kernels::Array::kAverage)) store_.swap_averages();
  }
  nn::ParameterStore& store_;
  bool active_ = true;
};

}  // namespace

Trainer::Trainer(const Run& run, const TrainState& state, Context context)
    : run_(run),
      state_(state),
      metrics_(run.directory.metrics_path(), state.step,
               state.baseline_due != 0 ? -1 : state.validated_step),
      memory_(run.model.state(run.batch_size, run.positions_per_sample, true)),
      context_(std::move(context)),
      started_(Clock::now()),
      seconds_before_(state.elapsed_seconds) {
  if (run.train.max_epochs) {
    last_sample_ = run.batches.epoch_start(static_cast<std::uint64_t>(*run.train.max_epochs));
  }
  nn::ParameterStore& store = run.model.parameters();
  if (state.updates == 0 && store.arrays().has(kernels::Array::kAverage)) store.start_averages();
  progress_at_start_ = progress(0);
}

Trainer::Outcome Trainer::run() {
  if (carries()) memory_->load_context(std::exchange(context_, {}));
  // Finds a full disk now, not after hours.
  if (state_.step == 0) save(true);
  bool pending_validation = owes_validation();
  begins_with_validation_ = pending_validation;
  while (pending_validation || !finished()) {
    if (must_stop()) {
      state_.elapsed_seconds = seconds();
      save(true);
      return Outcome::kStopped;
    }
    if (!pending_validation) {
      step();
      check_divergence();
      if (due(run_.train.log_every)) log_step();
    }
    pending_validation = due(run_.train.eval_every) && !validate();
    const bool last = finished();
    // A validation may have ended the run between two rows.
    if (last && state_.interval_targets > 0) log_step();
    // Amid skipped steps the checkpoints before are what a diverging run is left with.
    const bool worth_saving = last || state_.bad_in_a_row == 0;
    if (!pending_validation && due(run_.train.save_every) && worth_saving) save(last);
  }
  if (out_of_patience()) {
    spdlog::info("early stop at step {}: no improvement in {} validations (train.early_stop_evals)",
                 state_.step, state_.plateau.stale);
  }
  if (!std::isfinite(state_.best_loss)) {
    throw Error(ExitCode::kDiverged,
                "{}: diverged: no validation gave a finite loss; lower optimizer.lr or "
                "optimizer.clip_norm",
                run_.directory.path());
  }
  return Outcome::kFinished;
}

double Trainer::estimate_seconds() {
  const double forward = time_forward(run_.model, run_.batches, batch_, *memory_);
  const double valid_batches =
      static_cast<double>(run_.valid.size()) /
      (static_cast<double>(run_.batch_size * run_.positions_per_sample) * run_.batches.mean_load());
  return plan_length(run_.train, state_, last_sample_, samples_per_step(), forward, valid_batches)
      .seconds;
}

// Another model's weights validate before they change; of a run's own steps, a stop may have cut
// the validation short that was due.
bool Trainer::owes_validation() const {
  if (state_.step == 0) return state_.baseline_due != 0;
  return state_.validated_step < state_.step && due(run_.train.eval_every);
}

bool Trainer::carries() const { return run_.batches.carries() && state_.leaves_context(); }

bool Trainer::must_stop() const {
  return run_.stop_requested() || (!begins_with_validation_ && run_.out_of_time());
}

void Trainer::step() {
  const auto begin = Clock::now();
  // At the middle of the step: neither a dead first step after 0, nor a last one at exactly 0.
  const double lr = optim::learning_rate(run_.schedule, peak_lr(), progress(0.5));
  GradientSum sum;
  std::optional<Flow> flow;
  if (run_.train.flow_every > 0 && (state_.step + 1) % run_.train.flow_every == 0) {
    flow.emplace(run_.model);
  }
  for (Index micro = 0; micro < run_.train.accumulate_steps; ++micro) {
    run_.batches.load(state_.samples, batch_);
    batch_.continues &= micro > 0 || state_.leaves_context();
    add_gradient(run_.model, batch_, static_cast<std::uint64_t>(run_.train.seed),
                 static_cast<std::uint64_t>(state_.step), *memory_, sum,
                 flow ? flow->observer() : nullptr);
    state_.samples += static_cast<std::uint64_t>(run_.batch_size);
  }
  const bool applied = apply(sum.nats, sum.targets, lr, flow ? &*flow : nullptr);
  ++state_.step;
  if (applied && flow) metrics_.append_flow(state_.step, flow->row());
  if (applied) {
    state_.interval_nats += sum.nats;
    state_.interval_targets += sum.targets;
  }
  step_seconds_ = std::chrono::duration<double>(Clock::now() - begin).count();
  interval_seconds_ += step_seconds_;
  interval_tokens_ += static_cast<double>(sum.targets);
  state_.elapsed_seconds = seconds();
  run_.bar.show(progress(0), fmt::format("step {} | loss {:.3f} | {} tok/s | eta {}", state_.step,
                                         sum.nats / static_cast<double>(sum.targets),
                                         format_count(interval_tokens_ / interval_seconds_),
                                         format_duration(remaining_seconds())));
}

// One optimiser step, or none when loss or gradient is not finite: then nothing but counters
// change.
bool Trainer::apply(double nats, Index targets, double lr, Flow* flow) {
  nn::ParameterStore& store = run_.model.parameters();
  const double norm = gradient_norm(store, targets);
  if (!std::isfinite(nats) || !std::isfinite(norm)) {
    store.discard_gradient();
    ++state_.bad_steps;
    ++state_.bad_in_a_row;
    spdlog::warn("step {}: {} is not finite: step skipped ({} in a row)", state_.step + 1,
                 std::isfinite(nats) ? "the gradient" : "the loss", state_.bad_in_a_row);
    return false;
  }
  state_.bad_in_a_row = 0;
  state_.last_grad_norm = norm;
  state_.last_lr = lr;
  kernels::UpdateRule rule =
      optim::update_rule(run_.optimizer, lr, targets, norm, ++state_.updates);
  rule.average = optim::average_share(run_.train.ema_decay, state_.updates);
  if (flow != nullptr) {
    flow->update(rule, targets);
  } else {
    store.update(rule);
  }
  return true;
}

void Trainer::check_divergence() const {
  if (state_.bad_in_a_row < run_.train.max_bad_steps) return;
  throw Error(ExitCode::kDiverged,
              "{}: diverged at step {}: {} non-finite steps in a row; the checkpoints before are "
              "kept; lower optimizer.lr or optimizer.clip_norm",
              run_.directory.path(), state_.step, state_.bad_in_a_row);
}

bool Trainer::validate() {
  const auto begin = Clock::now();
  eval::Totals totals;
  if (!evaluate(totals)) return false;
  const TrainState before = state_;
  const double loss = eval::nats_per_token(totals);
  begins_with_validation_ = false;
  state_.baseline_due = 0;
  state_.validated_step = state_.step;
  state_.elapsed_seconds = seconds();
  if (state_.step % run_.train.eval_every == 0) count_validation(loss);
  const bool best = loss < state_.best_loss && keep_best(loss, before);
  run_.bar.clear();
  spdlog::info("step {} | valid loss {:.4f} | ppl {:.2f} | {:.3f} bits/byte{} | {}", state_.step,
               loss, eval::perplexity(totals), eval::bits_per_byte(totals), best ? " | best" : "",
               format_duration(std::chrono::duration<double>(Clock::now() - begin).count()));
  metrics_.append({{"step", static_cast<double>(state_.step)},
                   {"epoch", epochs()},
                   {"valid_loss", loss},
                   {"valid_perplexity", eval::perplexity(totals)},
                   {"valid_bits_per_byte", eval::bits_per_byte(totals)},
                   {"valid_tokens", static_cast<double>(totals.tokens)}});
  run_.validated();
  return true;
}

bool Trainer::evaluate(eval::Totals& totals) {
  AveragedWeights averaged(run_.model.parameters());
  const double tokens = static_cast<double>(run_.valid.size());
  const bool whole = eval::evaluate(
      run_.model, run_.permutation, run_.end_of_line, run_.mode, run_.valid,
      [&](std::uint64_t scored, std::uint64_t) {
        run_.bar.show(static_cast<double>(scored) / tokens, "validating");
        return !must_stop();
      },
      totals);
  averaged.restore();
  return whole;
}

void Trainer::count_validation(double loss) {
  const double peak = peak_lr();
  state_.plateau.add(loss, run_.schedule);
  if (peak_lr() >= peak) return;
  run_.bar.clear();
  spdlog::info("step {} | no improvement in {} validations: lr {:.3g} -> {:.3g}", state_.step,
               state_.plateau.stale, peak, peak_lr());
}

bool Trainer::keep_best(double loss, const TrainState& before_validation) {
  TrainState state = state_;
  state.best_loss = loss;
  state.best_step = state.step;
  AveragedWeights averaged(run_.model.parameters());
  try {
    save_model(run_.directory.best_path(), run_.info, state, run_.model);
    averaged.restore();
  } catch (const Error& error) {
    // A best model that is not on disk is not one: the older stays the one to beat.
    if (error.code() != ExitCode::kOutput) throw;
    averaged.restore();
    if (finished()) {
      // The run must not be lost with it; a resume validates once more.
      state_ = before_validation;
      save(true);
      throw;
    }
    spdlog::warn("{}; training goes on, the best model is the one before", error.what());
    return false;
  }
  state_ = state;
  return true;
}

void Trainer::save(bool must_succeed) {
  try {
    if (!metrics_.sync() && !metrics_warned_) {
      metrics_warned_ = true;
      spdlog::warn("{}: cannot be written; tried again with each row",
                   run_.directory.metrics_path());
    }
    save_checkpoint(run_.directory.checkpoint_path(state_.step), run_.info, state_, run_.model,
                    carries() ? memory_.get() : nullptr);
    if (state_.bad_in_a_row == 0) run_.directory.prune(run_.train.keep_last, state_.step);
  } catch (const Error& error) {
    if (must_succeed || error.code() != ExitCode::kOutput) throw;
    spdlog::warn("{}; training goes on, the next save is at the next interval", error.what());
  }
}

void Trainer::log_step() {
  tokens_per_second_ = interval_seconds_ > 0 ? interval_tokens_ / interval_seconds_ : 0;
  const double loss = state_.interval_nats / static_cast<double>(state_.interval_targets);
  metrics_.append({{"step", static_cast<double>(state_.step)},
                   {"epoch", epochs()},
                   {"loss", loss},
                   {"perplexity", std::exp(loss)},
                   {"lr", state_.last_lr},
                   {"grad_norm", state_.last_grad_norm},
                   {"bad_steps", static_cast<double>(state_.bad_steps)},
                   {"tokens_per_second", tokens_per_second_},
                   {"eta", remaining_seconds()}});
  spdlog::log(run_.bar.enabled() ? spdlog::level::debug : spdlog::level::info,
              "step {} | epoch {:.2f} | loss {:.3f} | ppl {:.2f} | lr {:.2e} | gnorm {:.2f} | {} "
              "tok/s | eta {}",
              state_.step, epochs(), loss, std::exp(loss), state_.last_lr, state_.last_grad_norm,
              format_count(tokens_per_second_), format_duration(remaining_seconds()));
  state_.interval_nats = 0;
  state_.interval_targets = 0;
  interval_seconds_ = interval_tokens_ = 0;
}

bool Trainer::out_of_patience() const {
  const auto& evals = run_.train.early_stop_evals;
  return evals && state_.plateau.stale >= *evals;
}

double Trainer::peak_lr() const {
  return optim::peak_left(state_.plateau, run_.schedule, run_.optimizer.lr);
}

double Trainer::seconds() const {
  return seconds_before_ + std::chrono::duration<double>(Clock::now() - started_).count();
}

double Trainer::epochs() const {
  const text::Batcher::Position at = run_.batches.locate(state_.samples);
  return static_cast<double>(at.epoch) +
         static_cast<double>(at.sample) / static_cast<double>(at.samples_in_epoch);
}

// The furthest of the limits that are set, `steps_ahead` steps from here.
double Trainer::progress(double steps_ahead) const {
  const TrainConfig& limits = run_.train;
  double furthest = 0;
  if (limits.max_steps) {
    furthest =
        (static_cast<double>(state_.step) + steps_ahead) / static_cast<double>(*limits.max_steps);
  }
  if (limits.max_epochs) {
    const double samples = steps_ahead * static_cast<double>(samples_per_step());
    furthest = std::max(furthest, (static_cast<double>(state_.samples) + samples) /
                                      static_cast<double>(last_sample_));
  }
  if (limits.max_time) {
    const double elapsed = state_.elapsed_seconds + steps_ahead * step_seconds_;
    furthest = std::max(furthest, elapsed / limits.max_time->value);
  }
  return furthest;
}

double Trainer::remaining_seconds() const {
  const double done = progress(0), run_here = seconds() - seconds_before_;
  const double done_here = done - progress_at_start_;
  if (run_.train.max_time && done == state_.elapsed_seconds / run_.train.max_time->value) {
    return std::max(0.0, run_.train.max_time->value - state_.elapsed_seconds);
  }
  return done_here > 0 ? std::max(0.0, 1 - done) * run_here / done_here : 0;
}

}  // namespace sluice::train
