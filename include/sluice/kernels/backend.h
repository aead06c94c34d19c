#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "sluice/base/thread_pool.h"
#include "sluice/kernels/activations.h"
#include "sluice/kernels/dropout.h"
#include "sluice/kernels/junction.h"
#include "sluice/kernels/norm.h"
#include "sluice/kernels/precision.h"
#include "sluice/kernels/statistics.h"
#include "sluice/kernels/update.h"
#include "sluice/kernels/weight_format.h"
#include "sluice/kernels/weights.h"

namespace sluice::kernels {

inline constexpr int kDroppedWord = -1;

// What softmax_forward keeps for softmax_backward; grows to the largest batch it has seen.
class SoftmaxTape {
 public:
  virtual ~SoftmaxTape() = default;
  // That it takes now; 0 where the backend does not say.
  virtual std::size_t bytes() const { return 0; }
};

// Bytes that a backend holds beside arrays, activations and softmax tapes: weights and activations
// in the form that its products want them in, and what they need room for.
struct WorkingMemory {
  double now = 0;
  double training = 0;  // after steps on batches of the size that was asked about
};

// The seam between layers and kernels: whole passes over a batch, on memory whose layout only the
// backend knows. One operation at a time. Gradients are of the sum of nats; what they are divided
// by and clipped to is UpdateRule::scale. Results are the same bits for any number of threads.
// Shapes that do not fit are bugs of the caller and assert.
class Backend {
 public:
  virtual ~Backend() = default;
  // Of the kernels that compute, and what their products are computed in.
  virtual std::string_view name() const = 0;
  virtual Precision precision() const { return Precision::kF32; }

  // Memory. `elements`: Reals that one array of v takes in this backend's layout.
  virtual Index elements(const ConvShape& shape) const = 0;
  virtual Index elements(const TableShape& shape) const = 0;
  virtual std::unique_ptr<Activations> activations(const RowMap& map, Index channels,
                                                   Form form) = 0;
  virtual std::unique_ptr<Activations> activations(const Selection& selection, Index channels,
                                                   Form form) = 0;
  // Lays out another batch in the same memory, of no more rows and tokens than it was made for,
  // with as many context rows, which are then zero. Not of a selection: it follows its source.
  virtual void reshape(Activations& x, const RowMap& map) = 0;
  virtual std::unique_ptr<Weights> weights(const ConvShape& shape, const Slices& v, const Slices* g,
                                           const Slices* b) = 0;
  virtual std::unique_ptr<Weights> table(const TableShape& shape, const Slices& v, const Slices* g,
                                         const Slices* b) = 0;
  virtual std::unique_ptr<SoftmaxTape> softmax_tape() = 0;
  // For a network of these weights; none where a backend does not say.
  virtual WorkingMemory working_memory(
      [[maybe_unused]] std::span<const std::unique_ptr<Weights>> weights,
      [[maybe_unused]] const RowMap& batch) const {
    return {};
  }

  // Logical order in and out: v of a product or table (its true gradient for kGradient), and
  // activations as [B*T, channels] (not kSaved).
  virtual void load(Weights& weights, Array array, std::span<const Real> logical) = 0;
  virtual void store(const Weights& weights, Array array, std::span<Real> logical) const = 0;
  virtual void load(Activations& to, std::span<const Real> logical) = 0;
  virtual void store(const Activations& from, std::span<Real> logical) const = 0;
  // Rebuilds what is derived from v, g and b after they were changed from outside.
  virtual void refresh(Weights& weights) = 0;
  // Rounds v to what the format holds (not of a norm), and refreshes; not between a gradient and
  // its step. A backend may keep copies in that format, which operations on single tokens then
  // read, until the next refresh(). Of a model in training the rounded weights would be where it
  // goes on.
  virtual void narrow(Weights& weights, WeightFormat format) = 0;

  // Weight drop on a product: until the next update(), discard_gradient() or refresh(), or a drop
  // of rate 0, products read w' = m w / (1 - rate), m the mask, and gradients are those through it:
  // dL/dw = m dL/dw' / (1 - rate). v itself, its |v| and all that is stored stay whole. The drop
  // that is in force already changes nothing, so micro-batches may repeat it; another one must not
  // come while there is a gradient.
  virtual void drop(Weights& weights, const WeightDrop& drop) = 0;

  // out.product = rows of the table; ids [B*T], kDroppedWord: zeros, without a gradient.
  virtual void embed(const Weights& table, std::span<const int> ids, Junction& out) = 0;
  virtual void embed_backward(const Activations& dz, std::span<const int> ids, Weights& table) = 0;

  // Where sequences are one token long (generation), the bits of each do not depend on how many
  // there are.
  virtual void conv_forward(const Activations& x, const Weights& weights, Junction& out) = 0;
  virtual void conv_backward_weights(const Activations& x, const Activations& dz,
                                     Weights& weights) = 0;
  virtual void conv_backward_data(const Activations& dz, const Weights& weights, Junction& below,
                                  Into into) = 0;

  // out.product = norm(x), for the tokens of x alone: no context row is read or written. The bits
  // of a token do not depend on how many others there are. Backward: x as it was in forward, dz
  // that of the junction that forward wrote; adds to the gradients of the weights and of `below`,
  // the junction that wrote x.
  virtual void norm_forward(const Activations& x, const NormWeights& weights, Junction& out) = 0;
  virtual void norm_backward(const Activations& x, const Activations& dz, NormWeights& weights,
                             Junction& below, Into into) = 0;

  // Context rows for the next window: sequence i of `to` goes on from sequence sources[i] of
  // `from`, that is, from its last P rows, context included; -1: what it has stays. Without sources
  // each goes on from its own; then, and only then, `to` may be `from`. clear_context: zeros, as
  // before the first token of a stream.
  virtual void carry_context(const Activations& from, Activations& to,
                             std::span<const Index> sources) = 0;
  virtual void clear_context(Activations& to) = 0;

  // out = the rows of x that out's selection names.
  virtual void gather(const Activations& x, Activations& out) = 0;

  // nats[i] = -log softmax(W x_i + b)[target_i], 0 where target is -1; W and b: the rows of `words`
  // one after the other. One nats and target per token of x. tape: null in evaluation.
  virtual void softmax_forward(const Activations& x, std::span<const TableRows> words,
                               std::span<const int> targets, std::span<double> nats,
                               SoftmaxTape* tape) = 0;
  virtual void softmax_backward(SoftmaxTape& tape, const Activations& x,
                                std::span<const int> targets, std::span<const TableRows> words,
                                Junction& below, Into into) = 0;
  // Log-probabilities of all words after the given tokens (numbers into those of x): out
  // [tokens, words]. The bits of a token's row do not depend on how many others are asked for.
  virtual void log_probabilities(const Activations& x, std::span<const TableRows> words,
                                 std::span<const Index> tokens, std::span<Real> out) = 0;

  // Adds the gradient of the penalty on what a junction put out to ddropped, and what does not go
  // through next() to dy: where change > 0 and next has a rate, both dy and plain are needed.
  // Before the reader that closes; one target per token, -1: none.
  virtual void penalise(Junction& junction, std::span<const int> targets,
                        const ActivationPenalty& penalty) = 0;

  // What a run's log tells of a layer, between forward and the end of backward: of the gate that
  // wrote `saved`, and the squared norm of all channels of all tokens.
  virtual GateStatistics gate_statistics(const Junction& junction) = 0;
  virtual double squared_norm(const Activations& x) = 0;

  // |dL/dv|^2 + |dL/dg|^2 + |dL/db|^2 of the true gradient, unscaled.
  virtual double squared_norm(const Weights& weights) = 0;
  // One optimiser step on v, g and b; afterwards there is no gradient. What got no gradient is
  // stepped with one of zero. A table may put that off for rows that nobody reads: they are brought
  // up to date, by the same steps and so to the same bits, before anybody does.
  virtual void update(Weights& weights, const UpdateRule& rule) = 0;
  // Takes the steps that update() has put off. What reads v of weights by itself (store, load,
  // embed, softmax) sees to it for the rows that it reads.
  virtual void catch_up(const Weights& weights) = 0;
  // Forgets the gradient (a step that is skipped).
  virtual void discard_gradient(Weights& weights) = 0;
};

enum class RowUpdates : std::uint8_t { kLazy, kDense };

// The plain backend: Eigen products, any scalar, every CPU. The pool must outlive it. Row updates:
// kDense steps every row of a table at once, for comparison.
std::unique_ptr<Backend> make_reference_backend(ThreadPool& pool,
                                                RowUpdates updates = RowUpdates::kLazy);

}  // namespace sluice::kernels
