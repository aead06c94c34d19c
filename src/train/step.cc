#include "sluice/train/step.h"

#include <cmath>
#include <utility>

namespace sluice::train {

void add_gradient(model::GatedConvLm& model, const text::Batch& batch, std::uint64_t seed,
                  std::uint64_t step, model::GatedConvLm::State& memory, GradientSum& sum,
                  const model::GatedConvLm::BackwardObserver& observe, const PhaseObserver& ended) {
  if (batch.continues) {
    memory.carry_context(memory);
  } else {
    memory.reshape(batch.sequences, batch.time);
  }
  memory.set_dropout(seed, step, sum.sequences);
  model.drop_weights(seed, step);
  model.forward_hidden(batch.inputs, memory);
  if (ended) ended(Phase::kForward);
  const model::Loss loss = model.forward_output(batch.targets, memory);
  if (ended) ended(Phase::kSoftmaxForward);
  model::GatedConvLm::BackwardObserver layers = observe;
  if (ended) {
    // The first gated layer that is about to go back is where the output has.
    layers = [&, first = true](std::size_t block, std::size_t layer,
                               const kernels::Junction& out) mutable {
      if (std::exchange(first, false)) ended(Phase::kSoftmaxBackward);
      if (observe) observe(block, layer, out);
    };
  }
  model.backward(batch.inputs, memory, layers);
  if (ended) ended(Phase::kBackward);
  sum.nats += loss.nats;
  sum.targets += loss.targets;
  sum.sequences += static_cast<std::uint64_t>(batch.sequences);
}

double gradient_norm(const nn::ParameterStore& store, Index targets) {
  return std::sqrt(store.squared_gradient_norm()) / static_cast<double>(targets);
}

}  // namespace sluice::train
