#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "sluice/model/model_config.h"
#include "sluice/nn/adaptive_softmax.h"
#include "sluice/nn/residual_block.h"

namespace sluice::model {

// A sum of losses and what it was summed over; divided only where printed or applied.
struct Loss {
  double nats = 0;
  Index targets = 0;
};

// The softmax that a config describes. Error kUsage when it does not fit the vocabulary, or its
// cutoffs are yet to be chosen.
nn::SoftmaxShape softmax_shape(const ModelConfig& config, Index vocabulary);

// The gated convolutional language model.
//
//   embedding [V, E] -> dropout -> (linear to the first width) -> residual blocks -> (norm)
//     -> (linear to the output's width) -> dropout -> softmax, whole or adaptive, maybe tied
//
// An rms or layer norm stands in front of each block's first layer, beside the skip path, and in
// front of what follows the last block (pre-norm).
//
// Inputs and targets are model ids, [B, T]; target -1 is not scored. Weights are shared and const
// in forward; everything about one batch is in a State that the caller owns. Source: Dauphin
// et al. 2017, section 2; wiring as in fairseq's fconv_lm.
class GatedConvLm {
 public:
  // Declares the parameters and allocates these arrays of them; none: shapes only, for counting.
  GatedConvLm(const ModelConfig& config, Index vocabulary, kernels::Backend& backend,
              kernels::ArraySet arrays);
  // Errors as softmax_shape().

  const ModelConfig& config() const { return config_; }
  Index vocabulary() const { return output_.shape().words; }
  nn::ParameterStore& parameters() { return store_; }
  const nn::ParameterStore& parameters() const { return store_; }
  kernels::Backend& backend() const { return store_.backend(); }

  // Initial values from (seed, parameter name): DESIGN 4.
  void initialise(std::uint64_t seed);
  // Weight drop of a training step on all gated convolutions, at the config's rate: masks are keyed
  // by (seed, step, parameter, position), the same for every token and micro-batch of the step. In
  // force until the next step, taken or discarded, or change of the weights; all that is read of
  // the parameters stays whole.
  void drop_weights(std::uint64_t seed, std::uint64_t step);
  // Bytes of the copies with a mask that a backend of floats keeps for it; 0 without weight drop.
  double weight_drop_bytes() const;
  // Rounds the weights of products and softmax to what the format holds (Backend::narrow), so that
  // writing text reads less. An embedding that is only looked up stays as it is. For a model that
  // is not trained on.
  void narrow(kernels::WeightFormat format);

  // One batch in flight: memory for B x T tokens, and the wiring of its junctions.
  class State {
   public:
    // For the batches to come, of no more tokens, rows of context included; clears the context.
    void reshape(Index sequences, Index time);
    // Dropout of this step: masks are keyed by (seed, step, place, sequence in the step, t,
    // channel), those of words by (seed, step, word).
    void set_dropout(std::uint64_t seed, std::uint64_t step, std::uint64_t first_sequence);
    // Carries context from `from`, which may be this state itself, or clears it: what the next
    // forward() finds to the left of its first token. With sources, sequence i goes on from
    // sequence sources[i] of another state, or stays as it is where that is -1.
    void carry_context(const State& from, std::span<const Index> sources = {});
    void clear_context();
    // What carry_context() takes from this state after a window of T >= P, in logical order: the
    // last P rows of every operand, [B * P, channels]; and back, for a file. Error kInternal when
    // it is not of this shape.
    using Context = std::vector<std::vector<Real>>;
    Context store_context() const;
    std::vector<Real> store_context(std::size_t operand) const;
    void load_context(const Context& context);
    // Channels of each of these, and bytes of all.
    std::vector<Index> context_widths() const;
    double context_bytes() const;
    const kernels::RowMap& map() const { return workspace_.map(); }
    // Bytes of the activations and their gradients, and of what the softmax kept in the largest
    // forward so far.
    double activation_bytes() const { return workspace_.bytes(); }
    double softmax_bytes() const { return softmax_.bytes(); }
    // What the softmax reads, [B, T, output_width()].
    const kernels::Activations& hidden() const { return *output_->dropped; }

   private:
    friend class GatedConvLm;
    State(const GatedConvLm& model, Index sequences, Index time, bool training);
    // What stands behind the embedding.
    kernels::Junction& first();
    // The words whose embedding is read: the inputs without those that dropout leaves out.
    std::span<const int> embedded(std::span<const int> inputs);
    // What an activation penalty reads and writes beyond what the softmax does.
    void wire_penalty();
    // What output projection or softmax reads: behind the last block, or its norm.
    kernels::Junction& last() {
      return model_->output_norm_ != nullptr ? normed_ : boundaries_.back();
    }

    const GatedConvLm* model_;
    nn::Workspace workspace_;
    kernels::Junction embedding_;
    std::vector<kernels::Junction> boundaries_;  // before each block, and after the last
    kernels::Junction normed_;                   // behind the norm of the last one
    std::vector<nn::ResidualBlock::Cache> caches_;
    kernels::Junction* output_ = nullptr;
    kernels::Junction projected_;  // behind an output projection
    nn::AdaptiveSoftmax::Cache softmax_;
    std::vector<double> nats_;
    bool drops_words_ = false;  // dropout.word, once it is set
    std::uint64_t word_key_ = 0;
    std::vector<int> embedded_;
  };
  std::unique_ptr<State> state(Index sequences, Index time, bool training) const;

  // -log p of each target. nats(): per token, valid until the state's next forward.
  Loss forward(std::span<const int> inputs, std::span<const int> targets, State& state) const;
  std::span<const double> nats(const State& state) const { return state.nats_; }
  // Its two parts: up to hidden(), all that generation needs, and the softmax over it.
  void forward_hidden(std::span<const int> inputs, State& state) const;
  Loss forward_output(std::span<const int> targets, State& state) const;
  // Log-probabilities of all words after the given tokens (positions b * T + t), in ascending
  // order: out [tokens, V]. One pass over the output's weights for all of them.
  void log_probabilities(State& state, std::span<const Index> tokens, std::span<Real> out) const;
  void log_probabilities(State& state, Index token, std::span<Real> out) const {
    log_probabilities(state, {&token, 1}, out);
  }
  // The two factors of these, for who can do without some of the tails (nn/adaptive_softmax.h).
  const nn::SoftmaxShape& softmax() const { return output_.shape(); }
  void head_log_probabilities(State& state, std::span<const Index> tokens,
                              std::span<Real> out) const;
  void tail_log_probabilities(State& state, Index tail, std::span<const Index> tokens,
                              std::span<Real> out) const;

  // Adds the gradient of the sum of nats that forward() on the same batch returned, and of the
  // config's penalty on activations, which no loss that is returned contains.
  // `observe`, if any, is shown the junction behind each gated layer while it holds its dz.
  using BackwardObserver =
      std::function<void(std::size_t block, std::size_t layer, const kernels::Junction& out)>;
  void backward(std::span<const int> inputs, State& state,
                const BackwardObserver& observe = nullptr);

 private:
  ModelConfig config_;
  nn::ParameterStore store_;
  nn::Table embedding_;
  std::unique_ptr<nn::Product> input_projection_;
  std::deque<nn::ResidualBlock> blocks_;
  std::unique_ptr<nn::Norm> output_norm_;
  std::unique_ptr<nn::Product> output_projection_;
  nn::AdaptiveSoftmax output_;
};

}  // namespace sluice::model
