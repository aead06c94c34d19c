#pragma once

#include <cstdint>
#include <vector>

#include "sluice/base/real.h"

namespace sluice::kernels {

// B sequences of T tokens in one list of rows; each sequence is preceded by P context rows, so that
// a tap of a causal convolution is an offset. No kernel writes a context row: they are zero, or
// hold what carry_context() brought, in evaluation, generation and training on contiguous text. P
// must be at least max (k-1) * dilation of the convolutions that read the rows; one map serves a
// whole model.
struct RowMap {
  Index sequences = 0, time = 0, context = 0;
  Index tokens() const { return sequences * time; }
  bool operator==(const RowMap&) const = default;
};

// Some tokens of a batch, numbered b * T + t, in ascending order: those that a tail of an adaptive
// softmax works on. Activations made for a selection have its tokens as rows, in its order and
// without context; how many there are may change from batch to batch, up to all of them.
struct Selection {
  RowMap source;
  std::vector<Index> tokens;
};

// What an array of activations is for; the backend chooses its arithmetic and layout by it.
enum class Form : std::uint8_t {
  kStream,    // the sum that runs along the residual path
  kOperand,   // read by products
  kProduct,   // output of a product as it came, or its gradient; columns in the product's order
  kSaved,     // what a gate keeps for its backward: saved_per_channel(gate) numbers per channel
  kGradient,  // dL/dy
};

// RowMap x channels of numbers in the layout of one backend. Opaque: layers pass it on, only its
// backend looks inside. First write sets, later writes add, the closing reader consumes: `written`
// says which, so that no gradient is ever cleared by a pass of its own.
class Activations {
 public:
  Activations(const RowMap& map, Index channels, Form form)
      : map_(map), channels_(channels), form_(form) {}
  // The selection must outlive the activations.
  Activations(const Selection& selection, Index channels, Form form)
      : map_{.sequences = 1, .time = selection.source.tokens(), .context = 0},
        selection_(&selection),
        channels_(channels),
        form_(form) {}
  virtual ~Activations() = default;
  Activations(const Activations&) = delete;
  Activations& operator=(const Activations&) = delete;

  // Of a selection: one sequence, as long as it may get.
  const RowMap& map() const { return map_; }
  const Selection* selection() const { return selection_; }
  // Tokens that hold something: B * T, or those selected now.
  Index tokens() const {
    return selection_ == nullptr ? map_.tokens() : static_cast<Index>(selection_->tokens.size());
  }
  Index channels() const { return channels_; }
  Form form() const { return form_; }

  bool written = false;

 protected:
  void set_map(const RowMap& map) { map_ = map; }

 private:
  RowMap map_;
  const Selection* selection_ = nullptr;
  Index channels_;
  Form form_;
};

}  // namespace sluice::kernels
