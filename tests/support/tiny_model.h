#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/random.h"
#include "sluice/model/gated_conv_lm.h"

// Small models and batches for tests.
namespace sluice::testing {

// For any optimiser.
inline constexpr kernels::ArraySet kTrainingArrays =
    kernels::training_arrays(kernels::UpdateKind::kAdamw, false);

inline model::BlockConfig block(std::vector<model::LayerConfig> layers, Index repeat = 1) {
  return {.layers = std::move(layers), .repeat = repeat};
}

// Without dropout.
inline model::ModelConfig tiny_config(Index embedding_dim, std::vector<model::BlockConfig> blocks) {
  model::ModelConfig config;
  config.embedding_dim = embedding_dim;
  config.blocks = std::move(blocks);
  config.dropout = {.embedding = 0, .layer = 0, .output = 0};
  config.output.type = model::OutputType::kSoftmax;
  return config;
}

// Everything a model can have: a plain block, a bottleneck, a projection, dilation.
inline model::ModelConfig full_config() {
  return tiny_config(5, {block({{.kernel = 3, .channels = 7}}),
                         block({{.kernel = 1, .channels = 4},
                                {.kernel = 4, .channels = 4},
                                {.kernel = 1, .channels = 7}}),
                         block({{.kernel = 2, .channels = 5, .dilation = 3}}),
                         block({{.kernel = 3, .channels = 5, .dilation = 2}}, 2)});
}

inline model::DropoutConfig all_dropout(double rate) {
  return {.embedding = rate, .layer = rate, .output = rate};
}

// Inputs and targets of [B, T], every `masked`-th target -1 (0: none).
struct TokenBatch {
  std::vector<int> inputs, targets;
};
inline TokenBatch token_batch(Index sequences, Index time, Index vocabulary, std::uint64_t seed,
                              Index masked = 0) {
  TokenBatch batch;
  const std::uint64_t key = derive_key(seed, "tokens");
  for (Index i = 0; i < sequences * time; ++i) {
    const auto position = static_cast<std::uint64_t>(2 * i);
    const auto pick = [&](std::uint64_t at) {
      return static_cast<int>(uniform_at(key, at) * static_cast<double>(vocabulary));
    };
    batch.inputs.push_back(pick(position));
    batch.targets.push_back(masked > 0 && i % masked == masked - 1 ? -1 : pick(position + 1));
  }
  return batch;
}

inline std::vector<Real> normal_values(std::size_t size, std::uint64_t seed, double deviation) {
  std::vector<Real> values(size);
  for (std::size_t i = 0; i < size; ++i) {
    values[i] = static_cast<Real>(deviation * normal_at(derive_key(seed, "values"), i));
  }
  return values;
}

// Moves biases off zero and gains off |v| or 1, so that a test sees what they do.
inline void stir_parameters(nn::ParameterStore& store, std::uint64_t seed) {
  for (nn::Parameter& parameter : store.parameters()) {
    const bool gain = parameter.name.ends_with("weight_g") || parameter.name.ends_with("norm.gain");
    if (!gain && !parameter.name.ends_with("bias")) continue;
    std::vector<Real> values(static_cast<std::size_t>(parameter.elements()));
    store.read(parameter, kernels::Array::kValue, values);
    const std::uint64_t key = derive_key(seed, parameter.name);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double normal = normal_at(key, i);
      values[i] =
          gain ? values[i] * static_cast<Real>(1 + 0.3 * normal) : static_cast<Real>(0.3 * normal);
    }
    store.write(parameter, kernels::Array::kValue, values);
  }
  store.refresh();
}

// Of every parameter, between stores of the same names.
inline void copy_values(const nn::ParameterStore& from, nn::ParameterStore& to) {
  for (nn::Parameter& parameter : to.parameters()) {
    std::vector<Real> values(static_cast<std::size_t>(parameter.elements()));
    from.read(*from.find(parameter.name), kernels::Array::kValue, values);
    to.write(parameter, kernels::Array::kValue, values);
  }
  to.refresh();
}

inline void set_element(nn::ParameterStore& store, std::string_view name, std::size_t element,
                        Real value) {
  for (nn::Parameter& parameter : store.parameters()) {
    if (parameter.name != name) continue;
    std::vector<Real> values(static_cast<std::size_t>(parameter.elements()));
    store.read(parameter, kernels::Array::kValue, values);
    values.at(element) = value;
    store.write(parameter, kernels::Array::kValue, values);
  }
  store.refresh();
}

inline std::vector<Real> read_parameter(const nn::ParameterStore& store, std::string_view name,
                                        kernels::Array array) {
  const nn::Parameter* parameter = store.find(name);
  std::vector<Real> values(static_cast<std::size_t>(parameter->elements()));
  store.read(*parameter, array, values);
  return values;
}

// One array of every parameter, in declaration order.
inline std::vector<Real> read_all(const nn::ParameterStore& store, kernels::Array array) {
  std::vector<Real> all;
  for (const nn::Parameter& parameter : store.parameters()) {
    const std::vector<Real> values = read_parameter(store, parameter.name, array);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace sluice::testing
