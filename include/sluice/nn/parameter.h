#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/kernels/backend.h"

namespace sluice::nn {

// One named array of numbers that training changes. Files, tests and people see it in logical shape
// and order; between the kernels it lies in the backend's layout.
struct Parameter {
  std::string name;          // dotted path, e.g. "blocks.3.layers.0.conv.weight_v"
  std::vector<Index> shape;  // logical
  Index stored = 0;          // Reals of one array in the backend's layout
  kernels::Slices slices;    // filled in by ParameterStore::allocate
  // Set when the layout is the backend's (v of a product, a table); null: logical order.
  kernels::Weights* laid_out_by = nullptr;

  Index elements() const;
};

// Owns every parameter of a model: values, gradients and optimiser states, one buffer each, in
// declaration order. Init, optimiser, clipping, checkpoints and tests walk this one list.
class ParameterStore {
 public:
  explicit ParameterStore(kernels::Backend& backend) : backend_(backend) {}
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  kernels::Backend& backend() const { return backend_; }
  // A name can be declared once (else assert); addresses stay valid.
  Parameter& declare(std::string name, std::vector<Index> shape, Index stored);
  // The weights of one product: what the optimiser steps on as a unit.
  kernels::Weights& add(std::unique_ptr<kernels::Weights> weights);
  // After the last declaration: memory for these arrays. Before it a store can be asked for names
  // and shapes only.
  void allocate(kernels::ArraySet arrays);

  kernels::ArraySet arrays() const { return arrays_; }
  std::deque<Parameter>& parameters() { return parameters_; }
  const std::deque<Parameter>& parameters() const { return parameters_; }
  const std::vector<std::unique_ptr<kernels::Weights>>& weights() const { return weights_; }
  const Parameter* find(std::string_view name) const;
  Index elements() const;  // logical, over all parameters

  // One array of a parameter in logical order. write() leaves the weights stale: refresh() follows.
  void read(const Parameter& parameter, kernels::Array array, std::span<Real> out) const;
  void write(Parameter& parameter, kernels::Array array, std::span<const Real> in);
  void refresh();

  // Sees one step on the weights of a product, and takes it: step() has to be called once.
  using StepObserver =
      std::function<void(kernels::Weights& weights, const std::function<void()>& step)>;
  // Over all weights: squared norm of the raw gradient; one step, observed or not; no step.
  double squared_gradient_norm() const;
  void update(const kernels::UpdateRule& rule, const StepObserver& observer = nullptr);
  void discard_gradient();
  // Makes the moving averages copies of the values.
  void start_averages();
  // Exchanges the values with their moving averages, and refreshes; a second call undoes it.
  void swap_averages();

 private:
  kernels::Backend& backend_;
  std::deque<Parameter> parameters_;
  std::vector<std::unique_ptr<kernels::Weights>> weights_;
  std::vector<AlignedBuffer> buffers_;
  kernels::ArraySet arrays_ = {};
};

// A place in the tree of names: scope / "conv" names children "blocks.3.layers.0.conv...".
class ParameterScope {
 public:
  explicit ParameterScope(ParameterStore& store, std::string path = "")
      : store_(&store), path_(std::move(path)) {}
  ParameterScope operator/(std::string_view child) const;
  ParameterStore& store() const { return *store_; }
  std::string name(std::string_view leaf) const;

 private:
  ParameterStore* store_;
  std::string path_;
};

}  // namespace sluice::nn
