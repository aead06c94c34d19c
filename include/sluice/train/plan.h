#pragma once

#include <cstdint>

#include "sluice/model/gated_conv_lm.h"
#include "sluice/text/batcher.h"
#include "sluice/train/checkpoint.h"
#include "sluice/train/train_config.h"
#include "sluice/train/train_state.h"

// What a run will need, told from its own objects before its first step.
namespace sluice::train {

// Bytes at the most demanding moment of a run. Arrays are counted; what cannot be (program, text,
// the kernels' scratch) is what this process holds beyond them.
struct MemoryPlan {
  double values = 0, gradients = 0, states = 0, averages = 0;  // of the parameters
  double activations = 0, softmax = 0;                         // of a training batch
  double working = 0;     // the backend's own copies: kernels::WorkingMemory
  double evaluation = 0;  // beside them: activations of a validation, or the buffer of a save
  double rest = 0;
  double total() const;
};
// The text that validates, and how.
struct ValidationText {
  text::Mode mode = text::Mode::kStream;
  std::uint64_t tokens = 0, longest_line = 0;
};
// To be asked after a forward pass on `batch`, before the first validation.
MemoryPlan plan_memory(const model::GatedConvLm& network, const model::GatedConvLm::State& batch,
                       const ValidationText& valid);

// Steps until max_steps or max_epochs ends the run; infinite when only time does. last_sample: with
// which max_epochs ends.
double steps_left(const TrainConfig& config, const TrainState& state, std::uint64_t last_sample,
                  Index samples_per_step);
// Seconds of one forward pass on a batch of mean size, once the memory of the largest is in use;
// that one is left in `batch` and `memory`.
double time_forward(const model::GatedConvLm& network, const text::Batcher& batches,
                    text::Batch& batch, model::GatedConvLm::State& memory);
// Seconds of so many steps with their validations, each as long as `valid_batches` forward passes.
double seconds_of(const TrainConfig& config, double steps, double forward, double valid_batches);
// The rest of a run, up to the first of its limits.
struct LengthPlan {
  double steps = 0, seconds = 0;
  bool bounded_by_time = false;
};
LengthPlan plan_length(const TrainConfig& config, const TrainState& state,
                       std::uint64_t last_sample, Index samples_per_step, double forward,
                       double valid_batches);

// Bytes of a run's files; headers, log and metrics are small beside them. `carried`: of the context
// in a checkpoint.
struct DiskPlan {
  double checkpoint = 0, model = 0;  // of one
  double most = 0;
};
DiskPlan plan_disk(const nn::ParameterStore& store, const ModelInfo& info, double carried,
                   Index keep_last);

}  // namespace sluice::train
