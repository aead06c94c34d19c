#pragma once

#include "sluice/kernels/activations.h"
#include "sluice/kernels/dropout.h"
#include "sluice/kernels/gate.h"
#include "sluice/kernels/weights.h"

namespace sluice::kernels {

// Everything between two products, the unit that backends fuse:
//
//   z = s * product + bias            (s: weight norm's scale; both from `producer`)
//   y = self((gate(z) + residual) * scale)
//   stream = plain = y,  dropped = next(y)
//
// and, from the readers' gradients, with m and n the masks of self and next:
//
//   d = (dy + n * ddropped) * m * scale
//   dresidual = d,  dz = s * gate'(z) d
//
// where the bias gradients of both producers are added on the way. Null pointers are parts that a
// junction does not have. Wired in nn/residual_block, nn/adaptive_softmax and GatedConvLm::State,
// owned by the batch in flight, never shared between threads.
struct Junction {
  Weights* producer = nullptr;           // whose bias and scale turn the product into z
  Weights* residual_producer = nullptr;  // the same for a projected residual
  Gate gate = Gate::kLinear;
  Real scale = 1;
  Dropout self, next;

  Activations* residual = nullptr;  // in: a stream, or a product when residual_producer is set
  Activations* stream = nullptr;    // out: y for a residual path
  Activations* plain = nullptr;     // out: y as an operand
  Activations* dropped = nullptr;   // out: next(y) as an operand
  Activations* saved = nullptr;     // out: for the gate's backward; null in evaluation
  // One of the outputs that it has: all hold the same tokens and channels.
  const Activations& output() const {
    return *(dropped != nullptr ? dropped : plain != nullptr ? plain : stream);
  }

  Activations* dy = nullptr;         // gradient parts that came in before the closing reader
  Activations* ddropped = nullptr;   //
  Activations* dresidual = nullptr;  // out: dL/d(residual), for a product times its scale
  Activations* dz = nullptr;         // out: dL/d(product) with this product's scale folded in
};

// Activation regularisation (Merity, McCann and Socher 2017, arXiv:1708.01009, section 3; alpha and
// beta of AWD-LSTM), per token with a target, h of C channels:
//
//   activation / C * |dropped_t|^2                AR, on what readers see
//   change / C * |y_(t+1) - y_t|^2                TAR, before next(), where both have a target
//
// The first is a mean over tokens and channels once sums are divided by the number of targets, the
// second nearly: a sequence of T tokens has T - 1 changes.
struct ActivationPenalty {
  double activation = 0, change = 0;
  bool any() const { return activation > 0 || change > 0; }
};

// Where a reader's gradient goes: into dy (it read `stream` or `plain`), into ddropped (it read
// `dropped`), or into ddropped as the last of all readers, which closes the junction.
enum class Into : std::uint8_t { kDy, kDropped, kClose };

}  // namespace sluice::kernels
