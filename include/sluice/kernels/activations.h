#pragma once

#include <cstdint>

#include "sluice/base/real.h"

namespace sluice::kernels {

// B sequences of T tokens in one list of rows; each sequence is preceded by P context rows, so that
// a tap of a causal convolution is an offset. No kernel writes a context row: they are zero in
// training and hold what carry_context() brought in evaluation and generation. P must be at least
// max (k-1) * dilation of the convolutions that read the rows; one map serves a whole model.
struct RowMap {
  Index sequences = 0, time = 0, context = 0;
  Index tokens() const { return sequences * time; }
  bool operator==(const RowMap&) const = default;
};

// What an array of activations is for; the backend chooses its arithmetic and layout by it.
enum class Form : std::uint8_t {
  kStream,    // the sum that runs along the residual path
  kOperand,   // read by products
  kProduct,   // output of a product as it came, or its gradient; columns in the product's order
  kSaved,     // what a gate keeps for its backward
  kGradient,  // dL/dy
};

// RowMap x channels of numbers in the layout of one backend. Opaque: layers pass it on, only its
// backend looks inside. First write sets, later writes add, the closing reader consumes: `written`
// says which, so that no gradient is ever cleared by a pass of its own.
class Activations {
 public:
  Activations(const RowMap& map, Index channels, Form form)
      : map_(map), channels_(channels), form_(form) {}
  virtual ~Activations() = default;
  Activations(const Activations&) = delete;
  Activations& operator=(const Activations&) = delete;

  const RowMap& map() const { return map_; }
  Index channels() const { return channels_; }
  Form form() const { return form_; }

  bool written = false;

 private:
  RowMap map_;
  Index channels_;
  Form form_;
};

}  // namespace sluice::kernels
