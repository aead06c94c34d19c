#pragma once

#include <cstdint>
#include <functional>

#include "sluice/model/gated_conv_lm.h"
#include "sluice/text/batcher.h"

// What the training loop and `sluice bench` do in a step, between the batch and the update.
namespace sluice::train {

// Where a step spends its time, in this order; of several micro-batches the first four again and
// again.
enum class Phase : std::uint8_t {
  kForward,          // embedding and blocks
  kSoftmaxForward,   // the softmax and the loss
  kSoftmaxBackward,  // its gradients, and of what lies between it and the last gated layer: an
                     // output projection, the projection of the last block
  kBackward,         // blocks and embedding
  kNorm,             // the gradient's norm
  kUpdate,           // clip and optimiser
};
inline constexpr int kPhases = 6;

// Told when a phase has ended. Null costs nothing; the step is the same with and without.
using PhaseObserver = std::function<void(Phase)>;

// The gradient of a step, summed over its micro-batches.
struct GradientSum {
  double nats = 0;
  Index targets = 0;
  std::uint64_t sequences = 0;  // so far in this step: dropout differs by them
};

// Adds a micro-batch: forward and backward, with the dropout of (seed, step). A batch that
// continues another reads what that one left in `memory` as context, through which no gradient goes
// back; the others begin with none.
// Weight drop stays in force until the model's parameters take or discard the step.
void add_gradient(model::GatedConvLm& model, const text::Batch& batch, std::uint64_t seed,
                  std::uint64_t step, model::GatedConvLm::State& memory, GradientSum& sum,
                  const model::GatedConvLm::BackwardObserver& observe = nullptr,
                  const PhaseObserver& ended = nullptr);

// Global L2 norm of the gradient per target, before the clip.
double gradient_norm(const nn::ParameterStore& store, Index targets);

}  // namespace sluice::train
