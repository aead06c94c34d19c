#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>

#include "sluice/base/real.h"

namespace sluice::kernels {

// A causal convolution over time, or with one tap a linear layer:
//   z[t] = sum_{j<taps} x[t - (taps-1-j) * dilation] W_j,  W_j: in x columns.
// paired: columns = 2 out, the linear half a before the gate half b (Dauphin et al. 2017, eq. 1).
// Logical order of W: [taps, in, columns], tap 0 the oldest.
struct ConvShape {
  Index in = 0, out = 0, taps = 1, dilation = 1;
  bool paired = false;
  Index columns() const { return paired ? 2 * out : out; }
  Index elements() const { return taps * in * columns(); }
  Index reach() const { return (taps - 1) * dilation; }
};

// One row per word: embeddings, and the weights of a softmax. Logical order: [rows, width].
struct TableShape {
  Index rows = 0, width = 0;
  Index elements() const { return rows * width; }
};

class Weights;

// Rows [begin, end) of a table. The words of a softmax are a list of these, in order: the head of
// an adaptive softmax that is tied to an embedding has rows of two tables.
struct TableRows {
  Weights* table = nullptr;
  Index begin = 0, end = 0;
  Index size() const { return end - begin; }
};

enum class Array : std::uint8_t { kValue, kGradient, kState0, kState1, kAverage };
inline constexpr int kArrays = 5;

// Which arrays a parameter store keeps: values alone for evaluation, values and gradients for
// gradient checks, and for training the optimiser's states and maybe the moving average.
class ArraySet {
 public:
  constexpr ArraySet(std::initializer_list<Array> arrays) {
    for (const Array array : arrays) add(array);
  }
  constexpr void add(Array array) { bits_ = static_cast<std::uint8_t>(bits_ | bit(array)); }
  constexpr bool has(Array array) const { return (bits_ & bit(array)) != 0; }
  constexpr int size() const { return std::popcount(bits_); }
  bool operator==(const ArraySet&) const = default;

 private:
  static constexpr unsigned bit(Array array) { return 1U << static_cast<unsigned>(array); }
  std::uint8_t bits_ = 0;
};

// Where the parameter store keeps one parameter, by Array; null for arrays that are not there
// (evaluation has values only). Filled in when the store allocates.
struct Slices {
  std::array<Real*, kArrays> of{};
  Real* operator[](Array array) const { return of[static_cast<std::size_t>(array)]; }
};

// One product's parameters: matrix or table v, with weight norm a gain g per column (of a table:
// per row), maybe a bias b, and whatever a backend derives from them (packed copies, |v|^2). v lies
// in the backend's layout, g and b in logical order.
//
// Weight norm (Salimans and Kingma 2016): w = s v, s = g / |v| per column. The gradient array of v
// holds dw' = dL/dw * s, that of g holds dL/dg = (dw' . v) / g: both linear in the data, so batches
// and ranks add; dL/dv = dw' - v (dw' . v) / |v|^2 is formed where it is used. |g| is floored at
// 1e-20 in all of this, else a gain of 0 could never leave 0.
class Weights {
 public:
  Weights(const Slices& v, const Slices* g, const Slices* b) : v_(&v), g_(g), b_(b) {}
  virtual ~Weights() = default;
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  const Slices& v() const { return *v_; }
  const Slices* g() const { return g_; }
  const Slices* b() const { return b_; }

  bool has_gradient = false;       // of v and g: set or add; of a table: in some row
  bool has_bias_gradient = false;  // of b
  bool stale = true;               // values were changed from outside; refresh() before use

 private:
  const Slices* v_;
  const Slices* g_;
  const Slices* b_;
};

}  // namespace sluice::kernels
