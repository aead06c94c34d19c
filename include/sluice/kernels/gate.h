#pragma once

#include <cstdint>

namespace sluice::kernels {

// How the columns z = [a | b] of a gated product become h. sigma: logistic function, Phi: standard
// normal distribution function. Those with a second half are `paired`.
//
//   linear    h = z                   gtu       h = tanh(a) sigma(b)   swiglu  h = a b sigma(b)
//   relu      h = max(z, 0)           glu       h = a sigma(b)         geglu   h = a b Phi(b)
//   tanh      h = tanh(z)             bilinear  h = a b                reglu   h = a max(b, 0)
//
// Sources: glu, gtu, bilinear, relu, tanh: Dauphin et al. 2017, sections 2, 3 and 5.2 (gtu after
// van den Oord et al. 2016); swiglu, geglu, reglu: Shazeer 2020. Every gate maps 0 to 0, so that
// padded channels stay zero.
enum class Gate : std::uint8_t {
  kLinear,
  kGlu,
  kGtu,
  kBilinear,
  kSwiglu,
  kGeglu,
  kReglu,
  kRelu,
  kTanh
};
inline constexpr int kGates = 9;

constexpr bool is_paired(Gate gate) {
  return gate != Gate::kLinear && gate != Gate::kRelu && gate != Gate::kTanh;
}

// Numbers per channel that a gate keeps for its backward.
//   glu: h, sigma(b)   gtu: tanh(a), sigma(b)   other paired ones: a, b   relu, tanh: h
constexpr int saved_per_channel(Gate gate) {
  return gate == Gate::kLinear ? 0 : is_paired(gate) ? 2 : 1;
}

}  // namespace sluice::kernels
