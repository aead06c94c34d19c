#include "sluice/nn/gated_layer.h"

#include <cmath>

namespace sluice::nn {

using kernels::Into;
using kernels::Junction;

GatedLayer::GatedLayer(const ParameterScope& scope, Index in, Index out, Index kernel,
                       Index dilation, bool weight_norm)
    : conv_(scope / "conv",
            {.in = in, .out = out, .taps = kernel, .dilation = dilation, .paired = true},
            weight_norm) {}

void GatedLayer::wire(Workspace& workspace, Junction& out, std::size_t turn) const {
  out.producer = &conv_.weights();
  out.gate = kernels::Gate::kGlu;
  out.saved = workspace.saved(conv_.shape().out);
  out.dz = workspace.gradient(conv_.shape().columns(), Workspace::Gradient::kProduct, turn);
}

void GatedLayer::forward(const Junction& in, Junction& out) const {
  conv_.backend().conv_forward(*in.dropped, conv_.weights(), out);
}

void GatedLayer::backward(const Junction& out, Junction& in) {
  kernels::Backend& backend = conv_.backend();
  backend.conv_backward_weights(*in.dropped, *out.dz, conv_.weights());
  backend.conv_backward_data(*out.dz, conv_.weights(), in, Into::kClose);
}

void GatedLayer::initialise(std::uint64_t seed, double dropout) {
  const double fan_in = static_cast<double>(conv_.shape().taps * conv_.shape().in);
  conv_.initialise(seed, std::sqrt(4 * (1 - dropout) / fan_in));
}

}  // namespace sluice::nn
