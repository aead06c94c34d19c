#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "sluice/optim/plateau.h"

namespace sluice::train {

// Everything about the progress of a run besides weights and optimiser state: what a log line, a
// schedule or a resume needs. Saved in every checkpoint; nothing else is remembered.
struct TrainState {
  std::int64_t step = 0;            // steps taken, skipped ones included
  std::int64_t updates = 0;         // steps applied: the optimiser's count
  std::uint64_t samples = 0;        // windows consumed: the data position
  std::int64_t bad_steps = 0;       // non-finite steps so far
  std::int64_t bad_in_a_row = 0;    //
  double elapsed_seconds = 0;       // training and validation, over all resumes
  std::int64_t validated_step = 0;  // the step of the last validation
  double best_loss = std::numeric_limits<double>::infinity();  // nats per token
  std::int64_t best_step = 0;
  optim::Plateau plateau;  // of the scheduled validations
  // 1 until weights that are another model's have been validated, before the first step.
  std::int64_t baseline_due = 0;
  // Sums since the last row of metrics.
  double interval_nats = 0;
  std::int64_t interval_targets = 0;
  double last_lr = 0, last_grad_norm = 0;

  // Whether what the last step left in memory can be gone on from: not before the first one, and
  // after a skipped one it may be no numbers.
  bool leaves_context() const { return step > 0 && bad_in_a_row == 0; }

  std::string to_json() const;
  // Error kBadData naming `source` when a field is missing, negative or of another type. Fields
  // that the first files of format 1 did not have may be missing: they keep their defaults.
  static TrainState from_json(const std::string& json, const std::string& source);
  bool operator==(const TrainState&) const = default;
};

}  // namespace sluice::train
