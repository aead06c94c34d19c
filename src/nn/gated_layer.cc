#include "sluice/nn/gated_layer.h"

#include <cmath>
#include <numbers>

namespace sluice::nn {

using kernels::Into;
using kernels::Junction;

GatedLayer::GatedLayer(const ParameterScope& scope, Index in, const LayerShape& shape,
                       const LayerStyle& style)
    : gate_(style.gate),
      conv_(scope / "conv",
            {.in = in,
             .out = shape.channels,
             .taps = shape.kernel,
             .dilation = shape.dilation,
             .paired = is_paired(style.gate)},
            style.weight_norm) {}

void GatedLayer::wire(Workspace& workspace, Junction& out, std::size_t turn) const {
  out.producer = &conv_.weights();
  out.gate = gate_;
  out.saved = workspace.saved(conv_.shape().out * saved_per_channel(gate_));
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
  conv_.initialise(seed, std::sqrt(initial_gain(gate_) * (1 - dropout) / fan_in));
}

double initial_gain(kernels::Gate gate) {
  using kernels::Gate;
  switch (gate) {
    case Gate::kGlu:
    case Gate::kGtu:
      return 4;
    case Gate::kRelu:
      return 2;
    case Gate::kSwiglu:
      return 1.6099;
    case Gate::kGeglu:
      return 1.4945;
    case Gate::kReglu:
      return std::numbers::sqrt2;
    case Gate::kBilinear:
    case Gate::kTanh:
    case Gate::kLinear:
      break;
  }
  return 1;
}

}  // namespace sluice::nn
