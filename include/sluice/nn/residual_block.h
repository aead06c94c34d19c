#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "sluice/nn/gated_layer.h"
#include "sluice/nn/norm.h"

namespace sluice::nn {

// One or more gated layers inside a residual path.
//
//   y = (P x + h) s,   h = layers(x) or, with a norm, layers(norm(x))
//
// P: identity, or where widths differ a linear layer with bias. The skip path has no dropout and no
// norm; the layers behind the first read what the gates before them wrote, as it is.
// Shapes: x [B, T, in], y [B, T, out of the last layer]. Source: Dauphin et al. 2017, section 2 and
// table 1 (bottlenecks); the scale s = sqrt(1/2) is Gehring et al. 2017, section 3.5.
class ResidualBlock {
 public:
  ResidualBlock(const ParameterScope& scope, Index in, const std::vector<LayerShape>& layers,
                const LayerStyle& style, Real scale,
                std::optional<kernels::NormKind> norm = std::nullopt);

  // The junctions between this block's layers, and a projection's output, for one workspace.
  struct Cache {
    std::vector<kernels::Junction> inner;
    kernels::Junction normed;  // behind a norm
    kernels::Activations* projected = nullptr;
  };

  // Gives `in` the outputs that this block reads and `out` all but its outputs (those are the next
  // reader's to ask for). `turn` counts layers over the whole model, `block` blocks.
  void wire(Workspace& workspace, kernels::Junction& in, kernels::Junction& out, Cache& cache,
            std::size_t& turn, std::size_t block) const;
  void forward(kernels::Junction& in, kernels::Junction& out, Cache& cache) const;
  // out.dz and out.dresidual are there; adds to the gradients and closes `in`.
  // `observe`, if any, is shown the junction behind each layer while it holds the layer's dz.
  using Observer = std::function<void(std::size_t layer, const kernels::Junction& out)>;
  void backward(kernels::Junction& out, kernels::Junction& in, Cache& cache,
                const Observer& observe = nullptr);
  void initialise(std::uint64_t seed, double dropout);
  // Of the layers, not of a projection.
  void drop_weights(std::uint64_t key, double rate);
  Index stored_weights() const;  // that drop_weights() is about, in the backend's layout

  // The junction whose operand the first layer reads.
  kernels::Junction& entrance(kernels::Junction& in, Cache& cache) const {
    return norm_ != nullptr ? cache.normed : in;
  }

  Index in() const { return in_; }
  Index out() const { return layers_.back().out(); }

 private:
  Index in_;
  Real scale_;
  std::deque<GatedLayer> layers_;
  std::unique_ptr<Norm> norm_;
  std::unique_ptr<Product> projection_;
};

}  // namespace sluice::nn
