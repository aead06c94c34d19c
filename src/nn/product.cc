#include "sluice/nn/product.h"

#include <cmath>

#include "sluice/base/random.h"

namespace sluice::nn {
namespace {

using kernels::Array;

// Each parameter has a stream of its own, keyed by its name: adding a layer moves no other's start.
std::uint64_t initial_key(const Parameter& parameter, std::uint64_t seed) {
  return derive_key(derive_key(seed, "init"), parameter.name);
}

std::vector<Real> normal_values(const Parameter& parameter, std::uint64_t seed, double deviation) {
  const std::uint64_t key = initial_key(parameter, seed);
  std::vector<Real> values(static_cast<std::size_t>(parameter.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<Real>(deviation * normal_at(key, i));
  }
  return values;
}

std::vector<Real> uniform_values(const Parameter& parameter, std::uint64_t seed, double bound) {
  const std::uint64_t key = initial_key(parameter, seed);
  std::vector<Real> values(static_cast<std::size_t>(parameter.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<Real>(bound * (2 * uniform_at(key, i) - 1));
  }
  return values;
}

void fill(ParameterStore& store, Parameter* parameter, Real value) {
  if (parameter == nullptr) return;
  const std::vector<Real> values(static_cast<std::size_t>(parameter->elements()), value);
  store.write(*parameter, Array::kValue, values);
}

const kernels::Slices* slices_of(const Parameter* parameter) {
  return parameter == nullptr ? nullptr : &parameter->slices;
}

// g = |v|, so that the initial weights are v: element i of v belongs to gain `gain_of(i)`.
template <class GainOf>
void fill_gains(ParameterStore& store, Parameter* g, std::span<const Real> v,
                const GainOf& gain_of) {
  if (g == nullptr) return;
  std::vector<double> norm2(static_cast<std::size_t>(g->elements()));
  for (std::size_t i = 0; i < v.size(); ++i) {
    norm2[gain_of(i)] += static_cast<double>(v[i]) * static_cast<double>(v[i]);
  }
  std::vector<Real> gains(norm2.size());
  for (std::size_t i = 0; i < gains.size(); ++i) gains[i] = static_cast<Real>(std::sqrt(norm2[i]));
  store.write(*g, Array::kValue, gains);
}

}  // namespace

Product::Product(const ParameterScope& scope, const kernels::ConvShape& shape, bool weight_norm,
                 bool bias)
    : store_(scope.store()), shape_(shape) {
  const Index columns = shape.columns();
  v_ = &store_.declare(scope.name(weight_norm ? "weight_v" : "weight"),
                       {shape.taps, shape.in, columns}, store_.backend().elements(shape));
  if (weight_norm) g_ = &store_.declare(scope.name("weight_g"), {columns}, columns);
  if (bias) b_ = &store_.declare(scope.name("bias"), {columns}, columns);
  weights_ = &store_.add(store_.backend().weights(shape, v_->slices, slices_of(g_), slices_of(b_)));
  v_->laid_out_by = weights_;
}

void Product::initialise(std::uint64_t seed, double deviation) {
  set_values(normal_values(*v_, seed, deviation));
}

void Product::initialise_uniform(std::uint64_t seed, double bound) {
  set_values(uniform_values(*v_, seed, bound));
}

void Product::drop(std::uint64_t key, double rate) {
  backend().drop(*weights_, {.key = derive_key(key, v_->name), .rate = rate});
}

void Product::set_values(std::span<const Real> v) {
  store_.write(*v_, Array::kValue, v);
  fill(store_, b_, 0);
  const auto columns = static_cast<std::size_t>(shape_.columns());
  fill_gains(store_, g_, v, [&](std::size_t i) { return i % columns; });
  store_.backend().refresh(*weights_);
}

Table::Table(const ParameterScope& scope, const kernels::TableShape& shape,
             const ParameterScope* bias, bool weight_norm)
    : store_(scope.store()), shape_(shape) {
  weight_ = &store_.declare(scope.name(weight_norm ? "weight_v" : "weight"),
                            {shape.rows, shape.width}, store_.backend().elements(shape));
  if (weight_norm) gain_ = &store_.declare(scope.name("weight_g"), {shape.rows}, shape.rows);
  if (bias != nullptr) bias_ = &store_.declare(bias->name("bias"), {shape.rows}, shape.rows);
  weights_ = &store_.add(
      store_.backend().table(shape, weight_->slices, slices_of(gain_), slices_of(bias_)));
  weight_->laid_out_by = weights_;
}

void Table::initialise(std::uint64_t seed, double deviation) {
  set_values(normal_values(*weight_, seed, deviation));
}

void Table::initialise_uniform(std::uint64_t seed, double bound) {
  set_values(uniform_values(*weight_, seed, bound));
}

void Table::set_values(std::span<const Real> v) {
  store_.write(*weight_, Array::kValue, v);
  fill(store_, bias_, 0);
  const auto width = static_cast<std::size_t>(shape_.width);
  fill_gains(store_, gain_, v, [&](std::size_t i) { return i / width; });
  store_.backend().refresh(*weights_);
}

}  // namespace sluice::nn
