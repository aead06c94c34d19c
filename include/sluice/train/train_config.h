#pragma once

#include <optional>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"
#include "sluice/kernels/precision.h"

namespace sluice {
namespace train {

// "train" in the config. At least one of the three limits must be set.
struct TrainConfig {
  std::optional<Index> max_epochs;
  std::optional<Index> max_steps;
  std::optional<Seconds> max_time;
  Index accumulate_steps = 1;
  Index eval_every = 500;
  Index save_every = 500;
  Index log_every = 10;
  Index flow_every = 500;
  Index keep_last = 2;
  std::optional<Index> early_stop_evals;
  double ema_decay = 0.0;
  Index max_bad_steps = 10;
  Index seed = 1;
  std::optional<kernels::Precision> precision;  // none: auto
  Index threads = 0;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    const Range count{.min = 1, .max = 9e15};
    visit("max_epochs", self.max_epochs, Range{.min = 1, .max = 1e6},
          "limit: passes over the training text");
    visit("max_steps", self.max_steps, count, "limit: optimiser steps");
    visit("max_time", self.max_time, Range{.min = 0, .max = 1e9, .above_min = true},
          "limit: training and validation time, summed over resumes");
    visit("accumulate_steps", self.accumulate_steps, Range{.min = 1, .max = 1 << 20},
          "micro-batches in one step");
    visit("eval_every", self.eval_every, count, "steps between validations");
    visit("save_every", self.save_every, count, "steps between checkpoints");
    visit("log_every", self.log_every, count, "steps between rows of metrics.jsonl");
    visit("flow_every", self.flow_every, Range{.min = 0, .max = 9e15},
          "steps between rows of gradient and gate statistics by layer; 0: none");
    visit("keep_last", self.keep_last, Range{.min = 1, .max = 1 << 20}, "checkpoints kept");
    visit("early_stop_evals", self.early_stop_evals, Range{.min = 1, .max = 1e6},
          "validations in a row without improvement after which training ends; null: never");
    visit("ema_decay", self.ema_decay, Range{.min = 0, .max = 1, .below_max = true},
          "moving average of the weights that validates and is kept as the best; 0: none");
    visit("max_bad_steps", self.max_bad_steps, count,
          "non-finite steps in a row after which the run has diverged");
    visit("seed", self.seed, Range{.min = 0, .max = 9e15},
          "of initial weights, order of samples and dropout");
    visit("precision", self.precision, Range{},
          "what operands of products are rounded to, sums being f32; bf16x3: each to a sum of two "
          "bf16; auto: bf16 where the CPU has AMX, else f32");
    visit("threads", self.threads, Range{.min = 0, .max = 4096},
          "0: the CPUs this process may use");
  }
  bool operator==(const TrainConfig&) const = default;
};

}  // namespace train
}  // namespace sluice
