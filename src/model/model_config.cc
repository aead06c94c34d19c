#include "sluice/model/model_config.h"

#include <algorithm>

namespace sluice::model {

std::vector<BlockConfig> expanded_blocks(const ModelConfig& config) {
  std::vector<BlockConfig> blocks;
  for (const BlockConfig& block : config.blocks) {
    for (Index i = 0; i < block.repeat; ++i) blocks.push_back({.layers = block.layers});
  }
  return blocks;
}

bool has_input_projection(const ModelConfig& config) {
  return config.input_projection == InputProjection::kAlways ||
         config.embedding_dim != first_width(config);
}

Index first_width(const ModelConfig& config) {
  return config.blocks.front().layers.front().channels;
}

Index last_width(const ModelConfig& config) { return config.blocks.back().layers.back().channels; }

Index receptive_field(const ModelConfig& config) {
  Index field = 1;
  for (const BlockConfig& block : config.blocks) {
    for (const LayerConfig& layer : block.layers) {
      field += block.repeat * (layer.kernel - 1) * layer.dilation;
    }
  }
  return field;
}

Index context_rows(const ModelConfig& config) {
  Index rows = 0;
  for (const BlockConfig& block : config.blocks) {
    for (const LayerConfig& layer : block.layers) {
      rows = std::max(rows, (layer.kernel - 1) * layer.dilation);
    }
  }
  return rows;
}

}  // namespace sluice::model
