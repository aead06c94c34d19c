#pragma once

#include <memory>
#include <vector>

#include "sluice/nn/product.h"
#include "sluice/nn/workspace.h"

namespace sluice::testing {

// Holds one layer or block between an input that the test sets and an output that it reads: the
// junctions on both sides, and behind the second one a product with the identity matrix, through
// which a chosen dL/dy comes back.
//
//   LayerBench bench(backend, map, in);
//   GatedLayer layer(ParameterScope(bench.store), ...);
//   bench.open(out);  layer.wire(bench.workspace, bench.out, 0);  bench.close();
//   bench.set_input(x);  layer.forward(bench.in, bench.out);  bench.output();
//   bench.start_backward(dy);  layer.backward(bench.out, bench.in);  bench.input_gradient();
class LayerBench {
 public:
  LayerBench(kernels::Backend& backend, const kernels::RowMap& map, Index channels)
      : store(backend),
        workspace(backend, map, true),
        head_store_(backend),
        input_dz_(backend.activations(map, channels, kernels::Form::kProduct)) {
    in.dz = input_dz_.get();
  }

  // After the layer has declared its parameters, before it is wired.
  void open(Index out_channels,
            kernels::ArraySet arrays = {kernels::Array::kValue, kernels::Array::kGradient}) {
    store.allocate(arrays);
    head_ = std::make_unique<nn::Product>(
        nn::ParameterScope(head_store_),
        kernels::ConvShape{.in = out_channels, .out = out_channels}, false);
    // With gradients: backends that copy weights for backward do so only then.
    head_store_.allocate({kernels::Array::kValue, kernels::Array::kGradient});
    std::vector<Real> identity(static_cast<std::size_t>(out_channels * out_channels));
    for (Index i = 0; i < out_channels; ++i) {
      identity[static_cast<std::size_t>(i * (out_channels + 1))] = 1;
    }
    head_store_.write(head_store_.parameters().front(), kernels::Array::kValue, identity);
    head_store_.refresh();
    head_dz_ = store.backend().activations(workspace.map(), out_channels, kernels::Form::kProduct);
  }
  // After it is wired.
  void close() {
    if (in.dropped == nullptr) in.dropped = workspace.operand(in.dz->channels());
    out.dropped = workspace.operand(head_dz_->channels());
  }

  void set_input(std::span<const Real> x) {
    for (kernels::Activations* to : {in.stream, in.plain, in.dropped}) {
      if (to != nullptr) store.backend().load(*to, x);
    }
  }
  std::vector<Real> output() const { return read(*out.dropped); }
  void start_backward(std::span<const Real> dy) {
    store.backend().load(*head_dz_, dy);
    store.backend().conv_backward_data(*head_dz_, head_->weights(), out, kernels::Into::kClose);
  }
  std::vector<Real> input_gradient() const { return read(*in.dz); }

  nn::ParameterStore store;
  nn::Workspace workspace;
  kernels::Junction in, out;

 private:
  std::vector<Real> read(const kernels::Activations& from) const {
    std::vector<Real> values(static_cast<std::size_t>(from.map().tokens() * from.channels()));
    store.backend().store(from, values);
    return values;
  }

  nn::ParameterStore head_store_;
  std::unique_ptr<nn::Product> head_;
  std::unique_ptr<kernels::Activations> input_dz_, head_dz_;
};

// sum of y * dy: the loss whose dL/dy is dy.
inline double dot(std::span<const Real> y, std::span<const Real> dy) {
  double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    sum += static_cast<double>(y[i]) * static_cast<double>(dy[i]);
  }
  return sum;
}

}  // namespace sluice::testing
