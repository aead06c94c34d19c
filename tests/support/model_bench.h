#pragma once

#include <memory>
#include <vector>

#include "sluice/kernels/instruction_set.h"
#include "tests/support/tiny_model.h"

namespace sluice::testing {

inline constexpr Index kVocabulary = 23;

// A backend (SLUICE_ISA says which) and a model with stirred parameters on it.
struct ModelBench {
  explicit ModelBench(const model::ModelConfig& config, Index vocabulary = kVocabulary,
                      int threads = 1, kernels::ArraySet arrays = kTrainingArrays)
      : pool(threads), model(config, vocabulary, *backend, arrays) {
    model.initialise(3);
    stir_parameters(model.parameters(), 4);
  }
  ThreadPool pool;
  std::unique_ptr<kernels::Backend> backend = kernels::make_backend(pool);
  model::GatedConvLm model;
};

// What one forward gives: nats and what the softmax read.
struct ForwardResult {
  std::vector<double> nats;
  std::vector<Real> hidden;
};

inline ForwardResult forward(const model::GatedConvLm& model, const TokenBatch& batch,
                             model::GatedConvLm::State& state) {
  model.forward(batch.inputs, batch.targets, state);
  const auto nats = model.nats(state);
  ForwardResult result = {{nats.begin(), nats.end()}, {}};
  result.hidden.resize(nats.size() * static_cast<std::size_t>(state.hidden().channels()));
  model.backend().store(state.hidden(), result.hidden);
  return result;
}

// Tokens [begin, end) of every sequence of a [B, T] batch.
inline TokenBatch window(const TokenBatch& batch, Index time, Index begin, Index end) {
  TokenBatch part;
  for (std::size_t i = 0; i < batch.inputs.size(); ++i) {
    const Index t = static_cast<Index>(i) % time;
    if (t < begin || t >= end) continue;
    part.inputs.push_back(batch.inputs[i]);
    part.targets.push_back(batch.targets[i]);
  }
  return part;
}
inline TokenBatch sequence(const TokenBatch& batch, Index time, Index first, Index count) {
  const auto cut = [&](const std::vector<int>& ids) {
    return std::vector<int>(ids.begin() + first * time, ids.begin() + (first + count) * time);
  };
  return {cut(batch.inputs), cut(batch.targets)};
}

}  // namespace sluice::testing
