#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "sluice/nn/parameter.h"

// Analytic gradients against central differences, in the double twin.
namespace sluice::testing {

// The element that agrees least. error: |analytic - numeric| relative to the larger of the two, to
// a thousandth of the array's largest element and to 1e-6: below that, rounding of the loss speaks.
struct GradientMismatch {
  std::string where;
  double analytic = 0, numeric = 0, error = -1;
  double largest = 0;  // of all numeric derivatives: 0 means that nothing was tested

  void merge(const GradientMismatch& other) {
    const double most = std::max(largest, other.largest);
    if (other.error > error || std::isnan(other.error)) *this = other;
    largest = most;
  }
};

// The derivative of f at x by the five-point rule: its error, h^4 f'''''/30, is below rounding.
// Around a kink the step h must be short enough not to cross it.
inline constexpr double kSmoothStep = 1e-3, kKinkStep = 2e-5;
inline double numeric_derivative(const std::function<double(double)>& f, double x, double h) {
  return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h);
}

// `write` makes the given values the ones that `loss` sees.
inline GradientMismatch check_array(const std::string& name, std::vector<Real> values,
                                    std::span<const Real> gradient,
                                    const std::function<void(std::span<const Real>)>& write,
                                    const std::function<double()>& loss, double h = kSmoothStep) {
  std::vector<double> numeric(values.size());
  GradientMismatch worst;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Real value = values[i];
    numeric[i] = numeric_derivative(
        [&](double x) {
          values[i] = static_cast<Real>(x);
          write(values);
          return loss();
        },
        static_cast<double>(value), h);
    values[i] = value;
    worst.largest = std::max(worst.largest, std::abs(numeric[i]));
  }
  write(values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double analytic = static_cast<double>(gradient[i]);
    const double scale =
        std::max({std::abs(analytic), std::abs(numeric[i]), 1e-3 * worst.largest, 1e-6});
    const double error = std::abs(analytic - numeric[i]) / scale;
    if (error > worst.error || std::isnan(error)) {
      worst.where = name + "[" + std::to_string(i) + "]";
      worst.analytic = analytic;
      worst.numeric = numeric[i];
      worst.error = error;
    }
  }
  return worst;
}

// Every element of every parameter. The store holds the gradients that `loss` ought to have.
inline GradientMismatch check_parameters(nn::ParameterStore& store,
                                         const std::function<double()>& loss,
                                         double h = kSmoothStep) {
  GradientMismatch worst;
  std::vector<std::vector<Real>> gradients;
  for (const nn::Parameter& parameter : store.parameters()) {
    auto& gradient = gradients.emplace_back(static_cast<std::size_t>(parameter.elements()));
    store.read(parameter, kernels::Array::kGradient, gradient);
  }
  std::size_t next = 0;
  for (nn::Parameter& parameter : store.parameters()) {
    std::vector<Real> values(static_cast<std::size_t>(parameter.elements()));
    store.read(parameter, kernels::Array::kValue, values);
    const auto write = [&](std::span<const Real> changed) {
      store.write(parameter, kernels::Array::kValue, changed);
      store.refresh();
    };
    worst.merge(check_array(parameter.name, values, gradients[next++], write, loss, h));
  }
  return worst;
}

}  // namespace sluice::testing
