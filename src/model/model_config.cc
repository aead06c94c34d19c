#include "sluice/model/model_config.h"

#include <algorithm>
#include <string>

#include "sluice/base/error.h"

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

std::optional<kernels::NormKind> channel_norm(const ModelConfig& config) {
  if (config.norm == Norm::kRms) return kernels::NormKind::kRms;
  if (config.norm == Norm::kLayer) return kernels::NormKind::kLayer;
  return std::nullopt;
}

Index first_width(const ModelConfig& config) {
  return config.blocks.front().layers.front().channels;
}

Index last_width(const ModelConfig& config) { return config.blocks.back().layers.back().channels; }

bool has_output_projection(const ModelConfig& config) {
  return config.output.projection.has_value() ||
         (config.output.tied && config.embedding_dim != last_width(config));
}

Index output_width(const ModelConfig& config) {
  if (config.output.projection) return *config.output.projection;
  return config.output.tied ? config.embedding_dim : last_width(config);
}

namespace {

void check_cutoffs(const ModelConfig& config, std::optional<Index> vocabulary) {
  const std::vector<Index>& cutoffs = *config.output.cutoffs;
  Index width = output_width(config);
  for (std::size_t i = 0; i < cutoffs.size(); ++i) {
    const std::string key = "model.output.cutoffs." + std::to_string(i);
    if (i > 0 && cutoffs[i] <= cutoffs[i - 1]) {
      throw Error(ExitCode::kUsage, "{}: not ascending (expected above {}, found {})", key,
                  cutoffs[i - 1], cutoffs[i]);
    }
    if (vocabulary && cutoffs[i] >= *vocabulary) {
      throw Error(ExitCode::kUsage,
                  "{}: beyond the vocabulary (expected below {}, found {}); \"auto\" chooses "
                  "cutoffs that fit",
                  key, *vocabulary, cutoffs[i]);
    }
    width /= config.output.tail_div;
    if (width == 0) {
      throw Error(ExitCode::kUsage,
                  "{}: no channel left for its tail (expected {} / tail_div^{} of 1 or more, found "
                  "tail_div {})",
                  key, output_width(config), i + 1, config.output.tail_div);
    }
  }
}

}  // namespace

void check_output(const ModelConfig& config, std::optional<Index> vocabulary) {
  const OutputConfig& output = config.output;
  if (output.tied && output_width(config) != config.embedding_dim) {
    throw Error(ExitCode::kUsage,
                "model.output.projection: tied vectors have the embedding's width (expected {} or "
                "null, found {})",
                config.embedding_dim, *output.projection);
  }
  if (output.type != OutputType::kAdaptive) return;
  const bool whole = output.cutoffs && output.cutoffs->empty();
  if (output.tied && output.tail_div != 1 && !whole) {
    throw Error(ExitCode::kUsage,
                "model.output.tail_div: tied tails have the embedding's width (expected 1, found "
                "{}); or tie a whole softmax: model.output.type=softmax",
                output.tail_div);
  }
  if (output.cutoffs) check_cutoffs(config, vocabulary);
}

kernels::ActivationPenalty activation_penalty(const ModelConfig& config) {
  return {.activation = config.activation_l2, .change = config.activation_change_l2};
}

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
