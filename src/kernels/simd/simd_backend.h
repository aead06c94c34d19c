#pragma once

#include <memory>
#include <vector>

#include "sluice/kernels/backend.h"
#include "sluice/kernels/instruction_set.h"
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
  SimdBackend(ThreadPool& pool, const Kernels& kernels, RowUpdates updates)
      : pool_(pool), kernels_(kernels), updates_(updates), minimal_(pool, kernels) {}

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
  void embed(const Weights& table, std::span<const int> ids, Junction& out) override;
  void embed_backward(const Activations& dz, std::span<const int> ids, Weights& table) override;
  void conv_forward(const Activations& x, const Weights& weights, Junction& out) override;
  void conv_backward_weights(const Activations& x, const Activations& dz,
                             Weights& weights) override;
  void conv_backward_data(const Activations& dz, const Weights& weights, Junction& below,
                          Into into) override;
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
  GateStatistics gate_statistics(const Junction& junction) override;
  double squared_norm(const Activations& x) override;
  double squared_norm(const Weights& weights) override;
  void update(Weights& weights, const UpdateRule& rule) override;
  void catch_up(const Weights& weights) override;
  void discard_gradient(Weights& weights) override;

 private:
  void forward_single_tokens(const BlockedActivations& x, const ProductWeights& w,
                             const ResolvedJunction& junction);
  // The weights with inputs and columns exchanged, for backward; valid until the next call.
  const float* transposed(const ProductWeights& w);
  void backward_data(const BlockTape& tape, const BlockedActivations& x,
                     std::span<const WordGroup> groups, Junction& below, Into into);
  void catch_up_words(std::span<const TableRows> words) const;
  void catch_up_range(const TableWeights& w, Index begin, Index end) const;
  void catch_up_rows(const TableWeights& w, std::span<const int> rows) const;
  void refresh_product(ProductWeights& w);
  void refresh_table(TableWeights& w);
  void narrow_product(ProductWeights& w, WeightFormat format);
  void narrow_table(TableWeights& w, WeightFormat format);
  double squared_norm_of(const float* values, Index size) const;
  double squared_norm_of_table(const TableWeights& w) const;
  void update_plain(const Slices& slices, Index size, const UpdateRule& rule, double decay);
  void update_product(ProductWeights& w, const UpdateRule& rule);
  void update_table(TableWeights& w, const UpdateRule& rule);

  // Memory of an operation.
  float* shared_memory(Index size) { return grown(shared_, size); }
  // One part per worker; reserved before a job, so that chunks need not ask for memory.
  void reserve_workers(Index size);
  float* worker_memory(int worker) { return workers_[static_cast<std::size_t>(worker)].data(); }

  ThreadPool& pool_;
  const Kernels& kernels_;
  RowUpdates updates_;
  MinimalFilter minimal_;
  AlignedBuffer shared_;
  std::vector<AlignedBuffer> workers_;
};

std::unique_ptr<Backend> make_simd_backend(ThreadPool& pool, const Kernels& kernels,
                                           RowUpdates updates);

}  // namespace sluice::kernels::simd
