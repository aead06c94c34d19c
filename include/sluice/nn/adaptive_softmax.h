#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "sluice/nn/product.h"
#include "sluice/nn/workspace.h"

namespace sluice::nn {

// What a softmax over V words is made of. Words are numbered by frequency, the most frequent first.
struct SoftmaxShape {
  Index width = 0;                  // d: channels that it reads
  Index words = 0;                  // V
  std::vector<Index> cutoffs = {};  // c_0 < c_1 < ... < V: where head and tails but the last end
  Index tail_div = 4;               // tail i has width d_i = floor(d / tail_div^(i+1))
  bool bias = false;                // without cutoffs only
  bool weight_norm = false;         // without cutoffs only

  Index tails() const { return static_cast<Index>(cutoffs.size()); }
  Index tail_width(Index tail) const;
  Index tail_begin(Index tail) const { return cutoffs[static_cast<std::size_t>(tail)]; }
  Index tail_end(Index tail) const { return tail + 1 < tails() ? tail_begin(tail + 1) : words; }
  Index tail_words(Index tail) const { return tail_end(tail) - tail_begin(tail); }
  Index head_words() const { return tails() == 0 ? words : tail_begin(0); }
};

// Softmax over the vocabulary, whole or adaptive: frequent words in a head that every token pays
// for, the others in J tails that only their own tokens do. All of it is exact and normalised.
//
//   w < c_0:              log p(w) = logsoftmax(H x)_w
//   c_i <= w < c_(i+1):   log p(w) = logsoftmax(H x)_(c_0 + i) + logsoftmax(T2_i T1_i x)_(w - c_i)
//
// Shapes: H [c_0 + J, d], T1_i d -> d_i, T2_i [c_(i+1) - c_i, d_i]; no biases. Without cutoffs H is
// [V, d], with a bias and a weight norm per word if asked for. Parameters: head.weight and
// tails.I.{projection.weight, weight}; without cutoffs weight (weight_v, weight_g), bias. Tied, the
// vectors of the words are rows of the embedding; clusters.weight then holds the J of the tails.
// Source: Grave et al. 2017 (arXiv:1609.04309), section 4; layout as in fairseq and PyTorch.
class AdaptiveSoftmax {
 public:
  // tied: the embedding, of width d = d_i for all i; null: vectors of its own.
  AdaptiveSoftmax(const ParameterScope& scope, const SoftmaxShape& shape, const Table* tied);

  struct TailCache {
    std::vector<Index> tokens;  // those whose target is in this tail
    std::vector<int> targets;
    std::vector<double> nats;
    kernels::Junction hidden;  // T1 x of these
    std::unique_ptr<kernels::SoftmaxTape> tape;
  };
  // Of one workspace.
  struct Cache {
    std::unique_ptr<kernels::SoftmaxTape> tape;
    std::vector<int> targets;
    std::deque<TailCache> tails;
    // Tails take turns: the tokens of the one at work, and x of these.
    kernels::Selection selection;
    kernels::Activations* gathered = nullptr;
    // Of what the softmaxes kept.
    double bytes() const;
  };

  // Gives `in` what this layer reads and sends back. `turn` alternates the gradients it shares.
  void wire(Workspace& workspace, kernels::Junction& in, Cache& cache, std::size_t turn) const;
  // nats[i] = -log p(targets[i]), 0 where the target is -1.
  void forward(const kernels::Junction& in, std::span<const int> targets, std::span<double> nats,
               Cache& cache) const;
  // After forward() on the same batch; adds to the gradients and closes `in`.
  void backward(kernels::Junction& in, Cache& cache) const;
  // Of all words after the given tokens, in ascending order: out [tokens, V]. Overwrites what a
  // forward() kept of the tails.
  void log_probabilities(const kernels::Junction& in, std::span<const Index> tokens,
                         std::span<Real> out, Cache& cache) const;
  // The two factors of these. Of the head's words and then of each tail as a whole: out
  // [tokens, head_words() + tails()].
  void head_log_probabilities(const kernels::Junction& in, std::span<const Index> tokens,
                              std::span<Real> out) const;
  // Of a tail's words given that it is one of them: out [tokens, tail_words(tail)]. Overwrites as
  // log_probabilities() does.
  void tail_log_probabilities(const kernels::Junction& in, Index tail,
                              std::span<const Index> tokens, std::span<Real> out,
                              Cache& cache) const;
  // Whole: N(0, sqrt((1-p) / d)), p the dropout in front. Adaptive: Xavier-uniform, all matrices.
  void initialise(std::uint64_t seed, double dropout);

  const SoftmaxShape& shape() const { return shape_; }

 private:
  struct Tail {
    std::unique_ptr<Product> projection;
    std::unique_ptr<Table> table;
    kernels::TableRows words;
  };
  kernels::Backend& backend() const { return store_.backend(); }
  // Sorts the targets into head and tails.
  void assign(std::span<const int> targets, Cache& cache) const;
  // Gives a tail the turn: its tokens are selected and their x gathered.
  void select(const kernels::Junction& in, std::span<const Index> tokens, Cache& cache) const;

  ParameterStore& store_;
  SoftmaxShape shape_;
  std::unique_ptr<Table> head_;  // or, tied, the clusters; null when tied and whole
  std::vector<kernels::TableRows> head_words_;
  std::vector<Tail> tails_;
};

}  // namespace sluice::nn
