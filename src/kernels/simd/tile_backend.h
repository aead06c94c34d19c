#pragma once

#include <memory>

#include "sluice/kernels/precision.h"
#include "src/kernels/simd/simd_backend.h"
#include "src/kernels/simd/tile_operands.h"

namespace sluice::kernels::simd {

// The simd backend with products of bfloat16 on tiles: all that is kept, added up or put through a
// gate is float; operands are rounded on their way into a product.
class TileBackend : public SimdBackend {
 public:
  TileBackend(ThreadPool& pool, const Kernels& kernels, const TileKernels& tiles,
              Precision precision, RowUpdates updates);

  std::string_view name() const override;
  Precision precision() const override { return precision_; }
  WorkingMemory working_memory(std::span<const std::unique_ptr<Weights>> weights,
                               const RowMap& batch) const override;
  std::unique_ptr<Weights> weights(const ConvShape& shape, const Slices& v, const Slices* g,
                                   const Slices* b) override;
  void refresh(Weights& weights) override;
  void conv_forward(const Activations& x, const Weights& weights, Junction& out) override;
  void conv_backward_weights(const Activations& x, const Activations& dz,
                             Weights& weights) override;
  void conv_backward_data(const Activations& dz, const Weights& weights, Junction& below,
                          Into into) override;
  void softmax_forward(const Activations& x, std::span<const TableRows> words,
                       std::span<const int> targets, std::span<double> nats,
                       SoftmaxTape* tape) override;

 protected:
  void refresh_panel(ProductWeights& w, Index panel) override;
  void take_drop(const ProductWeights& w) override;
  void take_hidden(const BlockedActivations& x) override;
  Index word_memory(const TableWeights& w) const override;
  void pack_words(const WordGroup& group, float* packed) const override;
  void word_products(const WordGroup& group, const float* packed, const BlockedActivations& x,
                     const Tile& tile, float* z) const override;
  void take_hidden_gradient(const BlockedActivations& x) override;
  Index word_gradient_memory() const override;
  void word_gradient(const BlockTape& tape, const WordGroup& group, const BlockedActivations& x,
                     const Tile& rows, bool add, float* memory) const override;
  void pack_word_rows(std::span<const WordGroup> groups) override;
  void hidden_products(const BlockTape& tape, const WordGroup& group, bool first,
                       std::span<const Tile> tiles, float* sums, Index per_panel) const override;

 private:
  // Packs what was put off.
  void make_ready(const TileWeights& w);
  // A product whose operands have their second parts so far away.
  void multiply(TileProduct tile, Index a_low, Index b_low) const;
  void multiply(TileGradient tile, Index x_low, Index y_low) const;
  void word_squares(TileGradient tile, Index x_low, const WordGroup& group, Index s,
                    Index block) const;

  const TileKernels& tiles_;
  Precision precision_;
  int parts_;
  // Of the operation in progress.
  ActivationLines lines_;
  ActivationColumns columns_;
  ActivationPairs pairs_;
  TileMemory word_rows_;
  Index word_lines_ = 0;
  Index most_word_rows_ = 0;  // numbers of word_rows_ that the largest softmax so far wants
};

}  // namespace sluice::kernels::simd
