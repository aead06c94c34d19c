#include "sluice/nn/parameter.h"

#include <algorithm>
#include <cassert>

#include "sluice/base/memory.h"

namespace sluice::nn {

using kernels::Array;

Index Parameter::elements() const {
  Index product = 1;
  for (const Index extent : shape) product *= extent;
  return product;
}

Parameter& ParameterStore::declare(std::string name, std::vector<Index> shape, Index stored) {
  assert(find(name) == nullptr && arrays_.size() == 0);
  Parameter& parameter = parameters_.emplace_back();
  parameter.name = std::move(name);
  parameter.shape = std::move(shape);
  parameter.stored = stored;
  return parameter;
}

kernels::Weights& ParameterStore::add(std::unique_ptr<kernels::Weights> weights) {
  return *weights_.emplace_back(std::move(weights));
}

void ParameterStore::allocate(kernels::ArraySet arrays) {
  assert(arrays_.size() == 0 && arrays.has(Array::kValue));
  arrays_ = arrays;
  constexpr Index kLine = 64 / static_cast<Index>(sizeof(Real));
  const auto padded = [](Index size) { return (size + kLine - 1) / kLine * kLine; };
  Index total = 0;
  for (const Parameter& parameter : parameters_) total += padded(parameter.stored);
  require_memory(static_cast<double>(total) * arrays.size() * sizeof(Real),
                 fmt::format("{} numbers each of {} parameters", arrays.size(), elements()));
  for (int i = 0; i < kernels::kArrays; ++i) {
    if (!arrays.has(static_cast<Array>(i))) continue;
    Real* at = buffers_.emplace_back(total).data();
    for (Parameter& parameter : parameters_) {
      parameter.slices.of[static_cast<std::size_t>(i)] = at;
      at += padded(parameter.stored);
    }
  }
}

const Parameter* ParameterStore::find(std::string_view name) const {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const Parameter& p) { return p.name == name; });
  return found == parameters_.end() ? nullptr : &*found;
}

Index ParameterStore::elements() const {
  Index total = 0;
  for (const Parameter& parameter : parameters_) total += parameter.elements();
  return total;
}

void ParameterStore::read(const Parameter& parameter, Array array, std::span<Real> out) const {
  assert(static_cast<Index>(out.size()) == parameter.elements());
  if (parameter.laid_out_by != nullptr) {
    backend_.store(*parameter.laid_out_by, array, out);
  } else {
    std::copy_n(parameter.slices[array], out.size(), out.begin());
  }
}

void ParameterStore::write(Parameter& parameter, Array array, std::span<const Real> in) {
  assert(static_cast<Index>(in.size()) == parameter.elements());
  if (parameter.laid_out_by != nullptr) {
    backend_.load(*parameter.laid_out_by, array, in);
  } else {
    std::copy(in.begin(), in.end(), parameter.slices[array]);
  }
}

void ParameterStore::refresh() {
  for (const auto& weights : weights_) backend_.refresh(*weights);
}

double ParameterStore::squared_gradient_norm() const {
  double sum = 0;
  for (const auto& weights : weights_) sum += backend_.squared_norm(*weights);
  return sum;
}

void ParameterStore::update(const kernels::UpdateRule& rule, const StepObserver& observer) {
  for (const auto& weights : weights_) {
    const auto step = [&] { backend_.update(*weights, rule); };
    if (observer) {
      observer(*weights, step);
    } else {
      step();
    }
  }
}

void ParameterStore::discard_gradient() {
  for (const auto& weights : weights_) backend_.discard_gradient(*weights);
}

void ParameterStore::start_averages() {
  assert(arrays_.has(Array::kAverage));
  for (const auto& weights : weights_) backend_.catch_up(*weights);
  for (const Parameter& parameter : parameters_) {
    std::copy_n(parameter.slices[Array::kValue], parameter.stored,
                parameter.slices[Array::kAverage]);
  }
}

void ParameterStore::swap_averages() {
  assert(arrays_.has(Array::kAverage));
  for (const auto& weights : weights_) backend_.catch_up(*weights);
  for (Parameter& parameter : parameters_) {
    auto& of = parameter.slices.of;
    std::swap(of[static_cast<std::size_t>(Array::kValue)],
              of[static_cast<std::size_t>(Array::kAverage)]);
  }
  refresh();
}

ParameterScope ParameterScope::operator/(std::string_view child) const {
  return ParameterScope(*store_, name(child));
}

std::string ParameterScope::name(std::string_view leaf) const {
  return path_.empty() ? std::string(leaf) : path_ + "." + std::string(leaf);
}

}  // namespace sluice::nn
