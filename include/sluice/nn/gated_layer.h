#pragma once

#include "sluice/nn/product.h"
#include "sluice/nn/workspace.h"

namespace sluice::nn {

struct LayerShape {
  Index kernel = 1, channels = 1, dilation = 1;
};

// What all layers of a network have in common.
struct LayerStyle {
  kernels::Gate gate = kernels::Gate::kGlu;
  bool weight_norm = true;
};

// A gated convolutional layer: one causal product for both halves, joined by the gate
// (kernels/gate.h).
//
//   [a | b] = conv_k(dropout(x)),   h = a * sigmoid(b)   or another gate
//
// Shapes: x [B, T, in], h [B, T, out]; the product has 2 out columns, the linear half first, or out
// where the gate has no second half. The dropout in front is the `next` of the junction it reads;
// the gate, the residual and the next dropout are in the junction it writes. Source: Dauphin et
// al. 2017, eq. 1.
class GatedLayer {
 public:
  GatedLayer(const ParameterScope& scope, Index in, const LayerShape& shape,
             const LayerStyle& style);

  // Writes gate, bias and what backward keeps into `out`; `turn` counts layers.
  void wire(Workspace& workspace, kernels::Junction& out, std::size_t turn) const;
  void forward(const kernels::Junction& in, kernels::Junction& out) const;
  // Adds to the gradients; closes `in`: its last reader is this layer.
  void backward(const kernels::Junction& out, kernels::Junction& in);
  // N(0, sqrt(gain (1-p) / (k in))), p the dropout in front; see initial_gain().
  void initialise(std::uint64_t seed, double dropout);
  // Of the convolution's weights, until the next step (Product::drop).
  void drop_weights(std::uint64_t key, double rate) { conv_.drop(key, rate); }
  Index stored_weights() const { return conv_.backend().elements(conv_.shape()); }

  Index out() const { return conv_.shape().out; }

 private:
  kernels::Gate gate_;
  Product conv_;
};

// What the variance of a gated layer's weights is multiplied by, so that the gate does not shrink
// what passes through it. glu: 4 (Gehring et al. 2017, section 3.5), the slope 1/2 of a half-open
// gate; gtu the same. tanh, linear: 1. For the rest the gain at which inputs of mean square 1 give
// outputs of mean square 1: relu 2 (He et al. 2015), bilinear 1, reglu sqrt(2), and from the
// integral of (b gate(b))^2 over the normal distribution swiglu 1.6099 and geglu 1.4945.
double initial_gain(kernels::Gate gate);

}  // namespace sluice::nn
