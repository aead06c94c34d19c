#include "gates.h"

#include <cmath>
#include <numbers>
#include <unsupported/Eigen/SpecialFunctions>

#include "reference_backend.h"

namespace sluice::kernels::reference {
namespace {

constexpr Real kRootHalf = static_cast<Real>(std::numbers::sqrt2 / 2);
// 1 / sqrt(2 pi)
constexpr Real kNormalPeak = static_cast<Real>(std::numbers::inv_sqrtpi * std::numbers::sqrt2 / 2);

void keep(Index n, const Real* values, Real* saved) {
  if (saved != nullptr) std::copy(values, values + n, saved);
}

// Phi(b), the distribution function of the standard normal.
auto normal_distribution(const ConstRow& b) { return Real(0.5) * (1 + (b * kRootHalf).erf()); }

// max(x, 0), but a NaN stays one: a step must notice it.
auto positive_part(const ConstRow& x) { return (x < Real(0)).select(Real(0), x); }

}  // namespace

void gate_forward(Gate gate, Index n, Real* a, Real* b, Real* s0, Real* s1) {
  Row h(a, n);
  Row second(is_paired(gate) ? b : a, n);
  // Those whose gradient needs both inputs keep them.
  if (gate == Gate::kBilinear || gate == Gate::kSwiglu || gate == Gate::kGeglu ||
      gate == Gate::kReglu) {
    keep(n, a, s0);
    keep(n, b, s1);
  }
  switch (gate) {
    case Gate::kLinear:
      return;
    case Gate::kGlu:
      second = second.logistic();
      h *= second;
      keep(n, a, s0);
      keep(n, b, s1);
      return;
    case Gate::kGtu:
      h = h.tanh();
      second = second.logistic();
      keep(n, a, s0);
      keep(n, b, s1);
      h *= second;
      return;
    case Gate::kBilinear:
      h *= second;
      return;
    case Gate::kSwiglu:
      h *= second * second.logistic();
      return;
    case Gate::kGeglu:
      h *= second * normal_distribution(ConstRow(b, n));
      return;
    case Gate::kReglu:
      h *= positive_part(ConstRow(b, n));
      return;
    case Gate::kRelu:
      h = positive_part(ConstRow(a, n));
      keep(n, a, s0);
      return;
    case Gate::kTanh:
      h = h.tanh();
      keep(n, a, s0);
      return;
  }
}

void gate_backward(Gate gate, Index n, const Real* d, const Real* s0, const Real* s1, Real* da,
                   Real* db) {
  const ConstRow gradient(d, n), first(s0, s0 == nullptr ? 0 : n),
      second(s1, s1 == nullptr ? 0 : n);
  Row out_a(da, n), out_b(is_paired(gate) ? db : da, n);
  switch (gate) {
    case Gate::kLinear:
      out_a = gradient;
      return;
    case Gate::kGlu:  // h, sigma
      out_a = gradient * second;
      out_b = gradient * first * (1 - second);
      return;
    case Gate::kGtu:  // tanh, sigma
      out_a = gradient * second * (1 - first.square());
      out_b = gradient * first * second * (1 - second);
      return;
    case Gate::kBilinear:
      out_a = gradient * second;
      out_b = gradient * first;
      return;
    case Gate::kSwiglu:  // (b sigma)' = sigma (1 + b (1 - sigma))
      out_b = second.logistic();
      out_a = gradient * second * out_b;
      out_b = gradient * first * out_b * (1 + second * (1 - out_b));
      return;
    case Gate::kGeglu:  // (b Phi)' = Phi + b phi
      out_b = normal_distribution(second);
      out_a = gradient * second * out_b;
      out_b =
          gradient * first * (out_b + second * kNormalPeak * (Real(-0.5) * second.square()).exp());
      return;
    case Gate::kReglu:
      out_a = gradient * positive_part(second);
      out_b = (second > Real(0)).select(gradient * first, Real(0));
      return;
    case Gate::kRelu:
      out_a = (first > Real(0)).select(gradient, Real(0));
      return;
    case Gate::kTanh:
      out_a = gradient * (1 - first.square());
      return;
  }
}

}  // namespace sluice::kernels::reference
