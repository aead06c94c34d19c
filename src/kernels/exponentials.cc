#include "sluice/kernels/exponentials.h"

#include <Eigen/Core>
#include <cassert>

#include "vector_backend.h"

namespace sluice::kernels {

double exponentials(std::span<const Real> logs, Real shift, Real factor, std::span<Real> out) {
  assert(logs.size() == out.size());
  static const VectorExponentials by_vectors = vector_exponentials(chosen_instruction_set());
  const auto size = static_cast<Index>(logs.size());
  if (by_vectors != nullptr) return by_vectors(logs.data(), size, shift, factor, out.data());
  using Values = Eigen::Array<Real, Eigen::Dynamic, 1>;
  const Eigen::Map<const Values> in(logs.data(), size);
  Eigen::Map<Values> result(out.data(), size);
  result = ((in - shift) * factor).min(Real(0));
  // Eigen's exp of -infinity is a little above 0.
  result = (result < Real(-87.3)).select(Real(0), result.exp());
  return result.template cast<double>().sum();
}

}  // namespace sluice::kernels
