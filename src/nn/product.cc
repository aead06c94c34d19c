#include "sluice/nn/product.h"

#include <cmath>

#include "sluice/base/random.h"

namespace sluice::nn {
namespace {

using kernels::Array;

// Each parameter has a stream of its own, keyed by its name: adding a layer moves no other's start.
std::vector<Real> normal_values(const Parameter& parameter, std::uint64_t seed, double deviation) {
  const std::uint64_t key = derive_key(derive_key(seed, "init"), parameter.name);
  std::vector<Real> values(static_cast<std::size_t>(parameter.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<Real>(deviation * normal_at(key, i));
  }
  return values;
}

void fill(ParameterStore& store, Parameter* parameter, Real value) {
  if (parameter == nullptr) return;
  const std::vector<Real> values(static_cast<std::size_t>(parameter->elements()), value);
  store.write(*parameter, Array::kValue, values);
}

}  // namespace

Product::Product(const ParameterScope& scope, const kernels::ConvShape& shape, bool weight_norm)
    : store_(scope.store()), shape_(shape) {
  const Index columns = shape.columns();
  v_ = &store_.declare(scope.name(weight_norm ? "weight_v" : "weight"),
                       {shape.taps, shape.in, columns}, store_.backend().elements(shape));
  if (weight_norm) g_ = &store_.declare(scope.name("weight_g"), {columns}, columns);
  b_ = &store_.declare(scope.name("bias"), {columns}, columns);
  weights_ = &store_.add(store_.backend().weights(
      shape, v_->slices, g_ == nullptr ? nullptr : &g_->slices, &b_->slices));
  v_->laid_out_by = weights_;
}

void Product::initialise(std::uint64_t seed, double deviation) {
  const std::vector<Real> v = normal_values(*v_, seed, deviation);
  store_.write(*v_, Array::kValue, v);
  fill(store_, b_, 0);
  if (g_ != nullptr) {
    const auto columns = static_cast<std::size_t>(shape_.columns());
    std::vector<double> norm2(columns);
    for (std::size_t i = 0; i < v.size(); ++i) {
      norm2[i % columns] += static_cast<double>(v[i]) * static_cast<double>(v[i]);
    }
    std::vector<Real> g(columns);
    for (std::size_t i = 0; i < columns; ++i) g[i] = static_cast<Real>(std::sqrt(norm2[i]));
    store_.write(*g_, Array::kValue, g);
  }
  store_.backend().refresh(*weights_);
}

Table::Table(const ParameterScope& scope, const kernels::TableShape& shape, bool bias)
    : store_(scope.store()), shape_(shape) {
  weight_ = &store_.declare(scope.name("weight"), {shape.rows, shape.width},
                            store_.backend().elements(shape));
  if (bias) bias_ = &store_.declare(scope.name("bias"), {shape.rows}, shape.rows);
  weights_ =
      &store_.add(store_.backend().table(shape, weight_->slices, bias ? &bias_->slices : nullptr));
  weight_->laid_out_by = weights_;
}

void Table::initialise(std::uint64_t seed, double deviation) {
  store_.write(*weight_, Array::kValue, normal_values(*weight_, seed, deviation));
  fill(store_, bias_, 0);
  store_.backend().refresh(*weights_);
}

}  // namespace sluice::nn
