#pragma once

#include <deque>
#include <memory>

#include "sluice/model/model_config.h"
#include "sluice/nn/norm.h"
#include "sluice/nn/product.h"
#include "sluice/nn/residual_block.h"

// The parts of a network, declared in a store under the names that files know; null: what its
// config does not have.
namespace sluice::model {

nn::Table make_embedding(const ModelConfig& config, Index vocabulary, nn::ParameterStore& store);
std::unique_ptr<nn::Product> make_input_projection(const ModelConfig& config,
                                                   nn::ParameterStore& store);
std::deque<nn::ResidualBlock> make_blocks(const ModelConfig& config, nn::ParameterStore& store);
std::unique_ptr<nn::Norm> make_output_norm(const ModelConfig& config, nn::ParameterStore& store);
std::unique_ptr<nn::Product> make_output_projection(const ModelConfig& config,
                                                    nn::ParameterStore& store);

}  // namespace sluice::model
