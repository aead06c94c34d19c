#pragma once

#include <memory>
#include <vector>

#include "sluice/kernels/backend.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/kernels/precision.h"
#include "src/kernels/simd/layout.h"
#include "src/kernels/simd/minimal_filter.h"
#include "src/kernels/simd/scratch.h"
#include "src/kernels/simd/weights.h"

namespace sluice::kernels::simd {

class ResolvedJunction;
struct BlockTape;
struct WordGroup;

// The float backend for CPUs with vector instructions: layouts, threads and the order of work; the
// arithmetic is in the kernels of one instruction set.
class SimdBackend : public Backend {
 public:
  // tile_rows: of a product's tile.
  SimdBackend(ThreadPool& pool, const Kernels& kernels, RowUpdates updates, Index tile_rows)
      : pool_(pool),
        kernels_(kernels),
        updates_(updates),
        tile_rows_(tile_rows),
        minimal_(pool, kernels) {}

  std::string_view name() const override { return name_of(kernels_.set); }
  Index elements(const ConvShape& shape) const override { return ProductWeights::elements(shape); }
  Index elements(const TableShape& shape) const override { return TableWeights::elements(shape); }
  std::unique_ptr<Activations> activations(const RowMap& map, Index channels, Form form) override;
  std::unique_ptr<Activations> activations(const Selection& selection, Index channels,
                                           Form form) override;
  void reshape(Activations& x, const RowMap& map) override;
  std::unique_ptr<Weights> weights(const ConvShape& shape, const Slices& v, const Slices* g,
                                   const Slices* b) override;
  std::unique_ptr<Weights> table(const TableShape& shape, const Slices& v, const Slices* g,
                                 const Slices* b) override;
  std::unique_ptr<SoftmaxTape> softmax_tape() override;
  void load(Weights& weights, Array array, std::span<const Real> logical) override;
  void store(const Weights& weights, Array array, std::span<Real> logical) const override;
  void load(Activations& to, std::span<const Real> logical) override;
  void store(const Activations& from, std::span<Real> logical) const override;
  void refresh(Weights& weights) override;
  void narrow(Weights& weights, WeightFormat format) override;
  void drop(Weights& weights, const WeightDrop& drop) override;
  void embed(const Weights& table, std::span<const int> ids, Junction& out) override;
  void embed_backward(const Activations& dz, std::span<const int> ids, Weights& table) override;
  void conv_forward(const Activations& x, const Weights& weights, Junction& out) override;
  void conv_backward_weights(const Activations& x, const Activations& dz,
                             Weights& weights) override;
  void conv_backward_data(const Activations& dz, const Weights& weights, Junction& below,
                          Into into) override;
  void norm_forward(const Activations& x, const NormWeights& weights, Junction& out) override;
  void norm_backward(const Activations& x, const Activations& dz, NormWeights& weights,
                     Junction& below, Into into) override;
  void carry_context(const Activations& from, Activations& to,
                     std::span<const Index> sources) override;
  void clear_context(Activations& to) override;
  void gather(const Activations& x, Activations& out) override;
  void softmax_forward(const Activations& x, std::span<const TableRows> words,
                       std::span<const int> targets, std::span<double> nats,
                       SoftmaxTape* tape) override;
  void softmax_backward(SoftmaxTape& tape, const Activations& x, std::span<const int> targets,
                        std::span<const TableRows> words, Junction& below, Into into) override;
  void log_probabilities(const Activations& x, std::span<const TableRows> words,
                         std::span<const Index> tokens, std::span<Real> out) override;
  void penalise(Junction& junction, std::span<const int> targets,
                const ActivationPenalty& penalty) override;
  GateStatistics gate_statistics(const Junction& junction) override;
  double squared_norm(const Activations& x) override;
  double squared_norm(const Weights& weights) override;
  void update(Weights& weights, const UpdateRule& rule) override;
  void catch_up(const Weights& weights) override;
  void discard_gradient(Weights& weights) override;

 protected:
  // What is derived from the values of a panel of columns: |v|^2.
  virtual void refresh_panel(ProductWeights& w, Index panel);

  // What products read under a weight drop.
  virtual void take_drop(const ProductWeights& w);

  // The products of the softmax, with the words of one group. Before forward: what they read of x,
  // and of the words, which takes word_memory() floats.
  virtual void take_hidden(const BlockedActivations& /*x*/) {}
  virtual Index word_memory(const TableWeights& w) const;
  virtual void pack_words(const WordGroup& group, float* packed) const;
  // Logits of one tile, [panels][kMostRows, 32].
  virtual void word_products(const WordGroup& group, const float* packed,
                             const BlockedActivations& x, const Tile& tile, float* z) const;
  // Before backward: what the words' gradients read of x; then these, of a few rows of dL/dlogits
  // in the tape.
  virtual void take_hidden_gradient(const BlockedActivations& /*x*/) {}
  virtual Index word_gradient_memory() const { return 0; }
  virtual void word_gradient(const BlockTape& tape, const WordGroup& group,
                             const BlockedActivations& x, const Tile& rows, bool add,
                             float* memory) const;
  // And the gradient of x: sums of tile i at sums + panel * per_panel + i * kMostRows * kPanel, set
  // by the first group.
  virtual void pack_word_rows(std::span<const WordGroup> /*groups*/) {}
  virtual void hidden_products(const BlockTape& tape, const WordGroup& group, bool first,
                               std::span<const Tile> tiles, float* sums, Index per_panel) const;

  // One part per worker; reserved before a job, so that chunks need not ask for memory.
  void reserve_workers(Index size);
  float* worker_memory(int worker) { return workers_[static_cast<std::size_t>(worker)].data(); }

  ThreadPool& pool_;
  const Kernels& kernels_;

 private:
  void forward_single_tokens(const BlockedActivations& x, const ProductWeights& w,
                             const ResolvedJunction& junction);
  // Rows whose pitch is their number, with digits if there are kernels for them; memory:
  // digit_floats().
  NarrowRows split(Rows x, Index blocks, const DigitKernels* digits, float* memory);
  // The weights with inputs and columns exchanged, for backward; valid until the next call.
  const float* transposed(const ProductWeights& w);
  void backward_data(const BlockTape& tape, const BlockedActivations& x,
                     std::span<const WordGroup> groups, Junction& below, Into into);
  void catch_up_words(std::span<const TableRows> words) const;
  void catch_up_range(const TableWeights& w, Index begin, Index end) const;
  void catch_up_rows(const TableWeights& w, std::span<const int> rows) const;
  void finish_product(ProductWeights& w);
  void set_scales(ProductWeights& w);
  void refresh_table(TableWeights& w);
  void narrow_product(ProductWeights& w, WeightFormat format);
  void narrow_table(TableWeights& w, WeightFormat format);
  double squared_norm_of(const float* values, Index size) const;
  double squared_norm_of_table(const TableWeights& w) const;
  void update_plain(const Slices& slices, Index size, const UpdateRule& rule, double decay);
  void update_product(ProductWeights& w, const UpdateRule& rule);
  void update_table(TableWeights& w, const UpdateRule& rule);
  double squared_norm_of_norm(const NormWeights& w) const;
  void update_norm(NormWeights& w, const UpdateRule& rule);

  // Memory of an operation.
  float* shared_memory(Index size) { return grown(shared_, size); }

  RowUpdates updates_;
  Index tile_rows_;
  MinimalFilter minimal_;
  AlignedBuffer shared_;
  std::vector<AlignedBuffer> workers_;
};

std::unique_ptr<Backend> make_simd_backend(ThreadPool& pool, const Kernels& kernels,
                                           RowUpdates updates);
std::unique_ptr<Backend> make_tile_backend(ThreadPool& pool, const Kernels& kernels,
                                           const TileKernels& tiles, Precision precision,
                                           RowUpdates updates);

}  // namespace sluice::kernels::simd
