#pragma once

#include "sluice/nn/product.h"
#include "sluice/nn/workspace.h"

namespace sluice::nn {

// A gated convolutional layer: one causal product for both halves, joined by the gate.
//
//   [a | b] = conv_k(dropout(x)),   h = a * sigmoid(b)
//
// Shapes: x [B, T, in], h [B, T, out]; the product has 2 out columns, the linear half first.
// The dropout in front is the `next` of the junction it reads; the gate, the residual and the next
// dropout are in the junction it writes. Source: Dauphin et al. 2017, eq. 1.
class GatedLayer {
 public:
  GatedLayer(const ParameterScope& scope, Index in, Index out, Index kernel, Index dilation,
             bool weight_norm);

  // Writes gate, bias and what backward keeps into `out`; `turn` counts layers.
  void wire(Workspace& workspace, kernels::Junction& out, std::size_t turn) const;
  void forward(const kernels::Junction& in, kernels::Junction& out) const;
  // Adds to the gradients; closes `in`: its last reader is this layer.
  void backward(const kernels::Junction& out, kernels::Junction& in);
  // N(0, sqrt(4 (1-p) / (k in))), p the dropout in front: the 4 offsets the gate's shrinking of the
  // variance (Gehring et al. 2017, section 3.5).
  void initialise(std::uint64_t seed, double dropout);

  Index out() const { return conv_.shape().out; }

 private:
  Product conv_;
};

}  // namespace sluice::nn
