#pragma once

#include "sluice/nn/parameter.h"
#include "sluice/nn/workspace.h"

namespace sluice::nn {

// A norm over each token's channels (kernels/norm.h) in front of the layer that reads it: a pass of
// its own between two junctions.
//
//   x --norm--> y = gain x^ (+ bias) --dropout--> operand
//
// Shapes: x, y [B, T, C]; parameters gain [C], of a layer norm also bias [C]. As pre-norm of
// residual blocks: Xiong et al. 2020 (arXiv:2002.04745), section 3.
class Norm {
 public:
  Norm(const ParameterScope& scope, const kernels::NormShape& shape);

  // Gives `out`, the junction that forward writes, its dz; its operand is the reader's to ask for.
  // `turn` counts layers. What is read is the stream or the plain operand of `in`, of which one has
  // to be there.
  void wire(Workspace& workspace, kernels::Junction& out, std::size_t turn) const;
  void forward(const kernels::Junction& in, kernels::Junction& out) const;
  // Adds to the gradients; closes `in`: its last reader is this norm.
  void backward(const kernels::Junction& out, kernels::Junction& in);
  // Gains 1, biases 0: the norm alone.
  void initialise();

 private:
  static const kernels::Activations& input(const kernels::Junction& in) {
    return *(in.stream != nullptr ? in.stream : in.plain);
  }

  ParameterStore& store_;
  kernels::NormShape shape_;
  Parameter *gain_ = nullptr, *bias_ = nullptr;
  kernels::NormWeights* weights_ = nullptr;
};

}  // namespace sluice::nn
