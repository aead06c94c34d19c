#include "sluice/nn/norm.h"

#include <memory>
#include <vector>

namespace sluice::nn {

using kernels::Array;
using kernels::Into;
using kernels::Junction;

Norm::Norm(const ParameterScope& scope, const kernels::NormShape& shape)
    : store_(scope.store()), shape_(shape) {
  gain_ = &store_.declare(scope.name("gain"), {shape.channels}, shape.stored());
  if (shape.centred()) {
    bias_ = &store_.declare(scope.name("bias"), {shape.channels}, shape.stored());
  }
  auto weights = std::make_unique<kernels::NormWeights>(
      shape, gain_->slices, bias_ != nullptr ? &bias_->slices : nullptr);
  weights_ = weights.get();
  store_.add(std::move(weights));
}

void Norm::wire(Workspace& workspace, Junction& out, std::size_t turn) const {
  out.dz = workspace.gradient(shape_.channels, Workspace::Gradient::kProduct, turn);
}

void Norm::forward(const Junction& in, Junction& out) const {
  store_.backend().norm_forward(input(in), *weights_, out);
}

void Norm::backward(const Junction& out, Junction& in) {
  store_.backend().norm_backward(input(in), *out.dz, *weights_, in, Into::kClose);
}

void Norm::initialise() {
  const auto size = static_cast<std::size_t>(shape_.channels);
  store_.write(*gain_, Array::kValue, std::vector<Real>(size, 1));
  if (bias_ != nullptr) store_.write(*bias_, Array::kValue, std::vector<Real>(size, 0));
  store_.backend().refresh(*weights_);
}

}  // namespace sluice::nn
