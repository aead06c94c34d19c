#pragma once

#include <memory>
#include <string>

#include "sluice/config/config.h"
#include "sluice/model/gated_conv_lm.h"
#include "sluice/text/permutation.h"
#include "sluice/text/tokenizer.h"
#include "sluice/train/checkpoint.h"

namespace sluice::config {

enum class Which { kBest, kLast };

// The model file that MODEL means: itself, or in a run directory the best model or the last
// checkpoint. Error kNoInput when there is none.
std::string model_path(const std::string& model, Which which);

// What a model file says about itself, checked against each other; no weights yet.
struct ModelParts {
  Config config;
  std::unique_ptr<text::Tokenizer> tokenizer;
  text::Permutation permutation;
};
ModelParts model_parts(const train::ModelFile& file);

// A network of this config with the file's weights and these arrays, values among them. Error
// kBadData when the weights are not of such a network.
std::unique_ptr<model::GatedConvLm> load_network(const train::ModelFile& file,
                                                 const model::ModelConfig& config, Index vocabulary,
                                                 kernels::Backend& backend,
                                                 kernels::ArraySet arrays);

// Everything that evaluation and generation need.
struct OpenModel {
  train::ModelFile file;
  ModelParts parts;
  std::unique_ptr<model::GatedConvLm> network;
};

// Opens, verifies and loads. Error kNoInput, kBadData. The backend must outlive the model.
OpenModel open_model(const std::string& path, kernels::Backend& backend);

}  // namespace sluice::config
