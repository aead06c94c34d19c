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
  Product(const ParameterScope& scope, const kernels::ConvShape& shape, bool weight_norm,
          bool bias = true);

  const kernels::ConvShape& shape() const { return shape_; }
  kernels::Weights& weights() const { return *weights_; }
  kernels::Backend& backend() const { return store_.backend(); }
  // v ~ N(0, deviation) by name and logical position, g = |v|, b = 0.
  void initialise(std::uint64_t seed, double deviation);
  // v ~ U(-bound, bound) instead.
  void initialise_uniform(std::uint64_t seed, double bound);
  // Weight drop with the mask of (key, name of v) until the next step (Backend::drop).
  void drop(std::uint64_t key, double rate);

 private:
  void set_values(std::span<const Real> v);

  ParameterStore& store_;
  kernels::ConvShape shape_;
  Parameter *v_ = nullptr, *g_ = nullptr, *b_ = nullptr;
  kernels::Weights* weights_ = nullptr;
};

// The weights of a table with a row per word: an embedding, or a softmax with its bias, whose rows
// may be weight-normed. A tied embedding has the softmax's bias too.
// Shapes: weight or weight_v [rows, width], weight_g [rows], bias [rows].
class Table {
 public:
  // bias: where it is named; null: there is none.
  Table(const ParameterScope& scope, const kernels::TableShape& shape, const ParameterScope* bias,
        bool weight_norm = false);

  const kernels::TableShape& shape() const { return shape_; }
  kernels::Weights& weights() const { return *weights_; }
  kernels::Backend& backend() const { return store_.backend(); }
  // Rows ~ N(0, deviation), gains |row|, bias 0; or ~ U(-bound, bound).
  void initialise(std::uint64_t seed, double deviation);
  void initialise_uniform(std::uint64_t seed, double bound);

 private:
  void set_values(std::span<const Real> v);

  ParameterStore& store_;
  kernels::TableShape shape_;
  Parameter *weight_ = nullptr, *gain_ = nullptr, *bias_ = nullptr;
  kernels::Weights* weights_ = nullptr;
};

}  // namespace sluice::nn
