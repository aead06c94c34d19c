#include "parts.h"

#include <optional>
#include <string>
#include <vector>

#include "sluice/model/gated_conv_lm.h"

namespace sluice::model {

using nn::ParameterScope;

std::unique_ptr<nn::Product> make_input_projection(const ModelConfig& config,
                                                   nn::ParameterStore& store) {
  if (!has_input_projection(config)) return nullptr;
  return std::make_unique<nn::Product>(
      ParameterScope(store, "input_projection"),
      kernels::ConvShape{.in = config.embedding_dim, .out = first_width(config)},
      config.norm == Norm::kWeight);
}

std::deque<nn::ResidualBlock> make_blocks(const ModelConfig& config, nn::ParameterStore& store) {
  std::deque<nn::ResidualBlock> blocks;
  Index width = first_width(config);
  for (const BlockConfig& block : expanded_blocks(config)) {
    std::vector<nn::LayerShape> layers;
    for (const LayerConfig& layer : block.layers) {
      layers.push_back({layer.kernel, layer.channels, layer.dilation});
    }
    blocks.emplace_back(
        ParameterScope(store, "blocks") / std::to_string(blocks.size()), width, layers,
        nn::LayerStyle{.gate = config.gate, .weight_norm = config.norm == Norm::kWeight},
        static_cast<Real>(config.residual_scale), channel_norm(config));
    width = blocks.back().out();
  }
  return blocks;
}

std::unique_ptr<nn::Norm> make_output_norm(const ModelConfig& config, nn::ParameterStore& store) {
  const std::optional<kernels::NormKind> kind = channel_norm(config);
  if (!kind) return nullptr;
  return std::make_unique<nn::Norm>(ParameterScope(store, "output_norm"),
                                    kernels::NormShape{*kind, last_width(config)});
}

std::unique_ptr<nn::Product> make_output_projection(const ModelConfig& config,
                                                    nn::ParameterStore& store) {
  if (!has_output_projection(config)) return nullptr;
  return std::make_unique<nn::Product>(
      ParameterScope(store, "output_projection"),
      kernels::ConvShape{.in = last_width(config), .out = output_width(config)},
      config.norm == Norm::kWeight);
}

nn::Table make_embedding(const ModelConfig& config, Index vocabulary, nn::ParameterStore& store) {
  const ParameterScope output(store, "output");
  const bool has_bias = config.output.tied && softmax_shape(config, vocabulary).bias;
  return nn::Table(ParameterScope(store, "embedding"),
                   {.rows = vocabulary, .width = config.embedding_dim},
                   has_bias ? &output : nullptr);
}

}  // namespace sluice::model
