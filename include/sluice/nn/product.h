#pragma once

#include "sluice/nn/parameter.h"

namespace sluice::nn {

// The parameters of one product: a causal convolution, or with one tap a linear layer.
//
//   z[t] = s * sum_{j<k} x[t - (k-1-j) d] V_j + b,   s = g / |v| per column (weight norm), or 1
//
// Shapes: weight_v (without weight norm: weight) [k, in, columns], weight_g [columns],
// bias [columns]; columns = 2 out when paired, the linear half first.
// Source: Dauphin et al. 2017, section 2; weight norm: Salimans and Kingma 2016, eq. 2.
class Product {
 public:
  Product(const ParameterScope& scope, const kernels::ConvShape& shape, bool weight_norm);

  const kernels::ConvShape& shape() const { return shape_; }
  kernels::Weights& weights() const { return *weights_; }
  kernels::Backend& backend() const { return store_.backend(); }
  // v ~ N(0, deviation) by name and logical position, g = |v|, b = 0.
  void initialise(std::uint64_t seed, double deviation);

 private:
  ParameterStore& store_;
  kernels::ConvShape shape_;
  Parameter *v_ = nullptr, *g_ = nullptr, *b_ = nullptr;
  kernels::Weights* weights_ = nullptr;
};

// The weights of a table with a row per word: an embedding, or a softmax with its bias.
// Shapes: weight [rows, width], bias [rows].
class Table {
 public:
  Table(const ParameterScope& scope, const kernels::TableShape& shape, bool bias);

  const kernels::TableShape& shape() const { return shape_; }
  kernels::Weights& weights() const { return *weights_; }
  kernels::Backend& backend() const { return store_.backend(); }
  // Rows ~ N(0, deviation), bias 0.
  void initialise(std::uint64_t seed, double deviation);

 private:
  ParameterStore& store_;
  kernels::TableShape shape_;
  Parameter *weight_ = nullptr, *bias_ = nullptr;
  kernels::Weights* weights_ = nullptr;
};

}  // namespace sluice::nn
