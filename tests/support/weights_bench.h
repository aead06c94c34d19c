#pragma once

#include <memory>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/kernels/backend.h"

namespace sluice::testing {

// One product's or table's parameters with memory of their own, without a store.
class WeightsBench {
 public:
  WeightsBench(kernels::Backend& backend, const kernels::TableShape& shape, bool bias,
               bool weight_norm = false)
      : backend_(backend), bias_(bias) {
    back(v_, backend.elements(shape));
    back(g_, shape.rows);
    back(b_, shape.rows);
    weights_ = backend.table(shape, v_, weight_norm ? &g_ : nullptr, bias ? &b_ : nullptr);
  }
  WeightsBench(kernels::Backend& backend, const kernels::ConvShape& shape, bool weight_norm)
      : backend_(backend), bias_(true) {
    back(v_, backend.elements(shape));
    back(g_, shape.columns());
    back(b_, shape.columns());
    weights_ = backend.weights(shape, v_, weight_norm ? &g_ : nullptr, &b_);
  }

  kernels::Weights& weights() const { return *weights_; }
  Real* g(kernels::Array array) const { return g_[array]; }
  Real* b(kernels::Array array) const { return b_[array]; }

  void set_values(std::span<const Real> v) {
    backend_.load(*weights_, kernels::Array::kValue, v);
    backend_.refresh(*weights_);
  }
  // A gradient from outside, as if a backward pass had left it.
  void set_gradient(std::span<const Real> dv) {
    backend_.load(*weights_, kernels::Array::kGradient, dv);
    backend_.refresh(*weights_);
    weights_->has_gradient = true;
    weights_->has_bias_gradient = bias_;
  }
  std::vector<Real> read(kernels::Array array, Index elements) const {
    std::vector<Real> values(static_cast<std::size_t>(elements));
    backend_.store(*weights_, array, values);
    return values;
  }

 private:
  void back(kernels::Slices& slices, Index size) {
    for (Real*& array : slices.of) {
      memory_.emplace_back(size);
      array = memory_.back().data();
    }
  }

  kernels::Backend& backend_;
  bool bias_;
  std::vector<AlignedBuffer> memory_;
  kernels::Slices v_, g_, b_;
  std::unique_ptr<kernels::Weights> weights_;
};

}  // namespace sluice::testing
