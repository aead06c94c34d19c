#include "sluice/nn/residual_block.h"

#include <cassert>
#include <cmath>

namespace sluice::nn {

using kernels::Activations;
using kernels::Into;
using kernels::Junction;

ResidualBlock::ResidualBlock(const ParameterScope& scope, Index in,
                             const std::vector<LayerShape>& layers, const LayerStyle& style,
                             Real scale, std::optional<kernels::NormKind> norm)
    : in_(in), scale_(scale) {
  assert(!layers.empty());
  if (norm) {
    norm_ = std::make_unique<Norm>(scope / "norm", kernels::NormShape{*norm, in});
  }
  Index width = in;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers_.emplace_back(scope / "layers" / std::to_string(i), width, layers[i], style);
    width = layers[i].channels;
  }
  if (width != in) {
    projection_ = std::make_unique<Product>(
        scope / "projection", kernels::ConvShape{.in = in, .out = width}, style.weight_norm);
  }
}

void ResidualBlock::wire(Workspace& workspace, Junction& in, Junction& out, Cache& cache,
                         std::size_t& turn, std::size_t block) const {
  if (norm_ != nullptr) norm_->wire(workspace, cache.normed, turn++);
  entrance(in, cache).dropped = workspace.operand(in_);
  in.dy = workspace.gradient(in_, Workspace::Gradient::kStream, block);
  cache.inner.resize(layers_.size() - 1);
  for (std::size_t i = 0; i + 1 < layers_.size(); ++i) {
    layers_[i].wire(workspace, cache.inner[i], turn++);
    cache.inner[i].dropped = workspace.operand(layers_[i].out());
  }
  layers_.back().wire(workspace, out, turn++);
  out.scale = scale_;
  if (projection_ == nullptr) {
    in.stream = workspace.stream(in_);
    out.residual = in.stream;
    out.dresidual = in.dy;
  } else {
    in.plain = workspace.operand(in_);
    cache.projected = workspace.product(this->out());
    out.residual = cache.projected;
    out.residual_producer = &projection_->weights();
    out.dresidual = workspace.gradient(this->out(), Workspace::Gradient::kProjection, 0);
  }
}

void ResidualBlock::forward(Junction& in, Junction& out, Cache& cache) const {
  if (projection_ != nullptr) {
    // As it comes: `out` applies the projection's scale and bias.
    Junction raw;
    raw.stream = cache.projected;
    projection_->backend().conv_forward(*in.plain, projection_->weights(), raw);
  }
  if (norm_ != nullptr) norm_->forward(in, cache.normed);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].forward(i == 0 ? entrance(in, cache) : cache.inner[i - 1],
                       i + 1 == layers_.size() ? out : cache.inner[i]);
  }
}

void ResidualBlock::backward(Junction& out, Junction& in, Cache& cache, const Observer& observe) {
  if (projection_ != nullptr) {
    kernels::Backend& backend = projection_->backend();
    backend.conv_backward_weights(*in.plain, *out.dresidual, projection_->weights());
    backend.conv_backward_data(*out.dresidual, projection_->weights(), in, Into::kDy);
  }
  for (std::size_t i = layers_.size(); i-- > 0;) {
    Junction& behind = i + 1 == layers_.size() ? out : cache.inner[i];
    if (observe != nullptr) observe(i, behind);
    layers_[i].backward(behind, i == 0 ? entrance(in, cache) : cache.inner[i - 1]);
  }
  if (norm_ != nullptr) norm_->backward(cache.normed, in);
}

void ResidualBlock::drop_weights(std::uint64_t key, double rate) {
  for (GatedLayer& layer : layers_) layer.drop_weights(key, rate);
}

Index ResidualBlock::stored_weights() const {
  Index sum = 0;
  for (const GatedLayer& layer : layers_) sum += layer.stored_weights();
  return sum;
}

void ResidualBlock::initialise(std::uint64_t seed, double dropout) {
  if (norm_ != nullptr) norm_->initialise();
  for (GatedLayer& layer : layers_) layer.initialise(seed, dropout);
  if (projection_ != nullptr) {
    projection_->initialise(seed, std::sqrt(1 / static_cast<double>(in_)));
  }
}

}  // namespace sluice::nn
