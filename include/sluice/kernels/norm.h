#pragma once

#include <cstdint>

#include "sluice/kernels/weights.h"

namespace sluice::kernels {

// Norms of one token's channels, c of C, with a gain gamma and an offset beta for each:
//
//   rms:    y_c = gamma_c x_c / sqrt(mean(x^2) + eps)
//   layer:  y_c = gamma_c (x_c - mean(x)) / sqrt(var(x) + eps) + beta_c,  var: divided by C
//
// A token sees no other one, so both are causal. With r = 1 / sqrt(... + eps), x^ = r x (layer:
// r (x - mean)) and u = gamma dy:
//
//   dx = r (u - x^ mean(u x^)), layer also - r mean(u);  dgamma = sum dy x^,  dbeta = sum dy
//
// Source: Zhang and Sennrich 2019 (arXiv:1910.07467), eq. 4; Ba et al. 2016 (arXiv:1607.06450),
// section 3.1.
enum class NormKind : std::uint8_t { kRms, kLayer };

// That of torch.nn.LayerNorm. It decides only where a stream is smaller than 0.003.
inline constexpr double kNormEps = 1e-5;

struct NormShape {
  NormKind kind = NormKind::kRms;
  Index channels = 0;
  bool centred() const { return kind == NormKind::kLayer; }
  // Of one array of gains or offsets: whole cache lines, zero behind the last channel, so that a
  // backend may read whole vectors.
  Index stored() const { return (channels + kLine - 1) / kLine * kLine; }

 private:
  static constexpr Index kLine = 64 / static_cast<Index>(sizeof(Real));
};

// v: the gains; b: the offsets, which only a layer norm has. Both in logical order, in every
// backend. Neither counts as a matrix (UpdateRule).
class NormWeights : public Weights {
 public:
  NormWeights(const NormShape& shape, const Slices& gains, const Slices* offsets)
      : Weights(gains, nullptr, offsets), shape_(shape) {}
  const NormShape& shape() const { return shape_; }

 private:
  NormShape shape_;
};

}  // namespace sluice::kernels
