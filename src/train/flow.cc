#include "sluice/train/flow.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace sluice::train {
namespace {

using kernels::Array;
using kernels::Weights;
using nn::Parameter;

constexpr Index kMostCopied = Index{1} << 22;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

// The v of a product or a table.
const Parameter& matrix_of(const nn::ParameterStore& store, const Weights& weights) {
  return *std::find_if(
      store.parameters().begin(), store.parameters().end(),
      [&](const Parameter& parameter) { return &parameter.slices == &weights.v(); });
}

// "blocks.0.layers.0" of "blocks.0.layers.0.conv.weight_v", "embedding" of "embedding.weight".
std::string layer_name(const std::string& parameter) {
  std::string name = parameter.substr(0, parameter.rfind('.'));
  if (name.ends_with(".conv")) name.resize(name.size() - std::string(".conv").size());
  return name;
}

double norm(const Real* values, std::size_t size) {
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) {
    sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  }
  return std::sqrt(sum);
}

// Takes the step on these weights; |change of v| / |v|, in the backend's layout, whose padding
// stays zero.
double measured_step(kernels::Backend& backend, Weights& weights, Index stored,
                     const std::function<void()>& step) {
  if (stored > kMostCopied) {
    step();
    return kNone;
  }
  // Rows may owe steps of before, and then this one.
  backend.catch_up(weights);
  const Real* now = weights.v()[Array::kValue];
  std::vector<Real> before(now, now + stored);
  step();
  backend.catch_up(weights);
  const double size = norm(before.data(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i) before[i] = now[i] - before[i];
  return norm(before.data(), before.size()) / size;
}

}  // namespace

model::GatedConvLm::BackwardObserver Flow::observer() {
  return [this](std::size_t block, std::size_t layer, const kernels::Junction& out) {
    Layer& seen = layers_[fmt::format("blocks.{}.layers.{}", block, layer)];
    const kernels::GateStatistics gate = model_.backend().gate_statistics(out);
    seen.gate.sum += gate.sum;
    seen.gate.saturated += gate.saturated;
    seen.gate.units += gate.units;
    seen.squared_dz += model_.backend().squared_norm(*out.dz);
  };
}

void Flow::update(const kernels::UpdateRule& rule, Index targets) {
  nn::ParameterStore& store = model_.parameters();
  const double count = static_cast<double>(targets);
  store.update(rule, [&](Weights& weights, const std::function<void()>& step) {
    const Parameter& matrix = matrix_of(store, weights);
    const double gradient = std::sqrt(model_.backend().squared_norm(weights)) / count;
    const double ratio = measured_step(model_.backend(), weights, matrix.stored, step);
    const std::string name = layer_name(matrix.name);
    MetricsRow facts = {{"grad_norm", gradient}, {"update_ratio", ratio}};
    if (const auto found = layers_.find(name); found != layers_.end()) {
      const Layer& layer = found->second;
      const double units = layer.gate.units > 0 ? layer.gate.units : kNone;
      facts.emplace_back("gate_mean", layer.gate.sum / units);
      facts.emplace_back("gate_saturated", layer.gate.saturated / units);
      facts.emplace_back("dz_norm", std::sqrt(layer.squared_dz) / count);
    }
    row_.emplace_back(name, std::move(facts));
  });
}

}  // namespace sluice::train
