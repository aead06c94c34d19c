#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <functional>
#include <vector>

#include "../chunks.h"
#include "../gain.h"
#include "../log_sums.h"
#include "../position.h"
#include "../row_ledger.h"
#include "sluice/base/aligned_buffer.h"
#include "sluice/kernels/backend.h"

// The reference backend's own types. Activations: one list of rows, row-major, P zero rows behind
// the last so that backward-data windows need no edge case. v: logical order, i.e. a row-major
// matrix [taps * in, columns] or [rows, width].
namespace sluice::kernels::reference {

using Matrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Strided = Eigen::Map<Matrix, Eigen::Unaligned, Eigen::OuterStride<>>;
using ConstStrided = Eigen::Map<const Matrix, Eigen::Unaligned, Eigen::OuterStride<>>;
using Row = Eigen::Map<Eigen::Array<Real, 1, Eigen::Dynamic>>;
using ConstRow = Eigen::Map<const Eigen::Array<Real, 1, Eigen::Dynamic>>;

class RowActivations : public Activations {
 public:
  RowActivations(const RowMap& map, Index channels, Form form);
  RowActivations(const Selection& selection, Index channels, Form form);
  void reshape(const RowMap& map);
  Index width() const { return channels(); }
  Index pitch() const { return map().context + map().time; }  // rows of one sequence
  // Rows from the first token of the first sequence to the last token of the last one; context rows
  // in between are part of it. Row numbers count from there.
  Index span() const {
    return selection() != nullptr ? tokens() : map().sequences * pitch() - map().context;
  }
  bool is_context(Index row) const { return row % pitch() >= map().time; }
  Index token(Index row) const { return row / pitch() * map().time + row % pitch(); }
  // Where in the batch a row is, and back.
  Position position(Index row) const {
    if (selection() == nullptr) return {row / pitch(), row % pitch()};
    return position_of(selection()->source, selection()->tokens[static_cast<std::size_t>(row)]);
  }
  Index row_of(Position at) const { return at.sequence * pitch() + at.t; }
  Real* row(Index row) const { return data_.data() + (row + map().context) * width(); }
  Real* base() const { return data_.data(); }
  ConstStrided rows(Index first, Index count) const {
    return {row(first), count, width(), Eigen::OuterStride<>(width())};
  }

 private:
  AlignedBuffer data_;
};

struct ProductWeights : Weights {
  ProductWeights(const ConvShape& conv, const Slices& value, const Slices* gain,
                 const Slices* bias);
  ConvShape shape;
  std::vector<double> norm2;  // |v|^2 per column; empty without weight norm
  std::vector<Real> scale;    // s per column; empty: 1
  std::vector<double> dot;    // dw' . v per column, of the gradient as it stands

  // What products read: of a weight drop in force the copy with its mask. The factor of what is
  // kept is part of `scale`, so that masking a gradient twice does nothing.
  const Real* read() const { return drop.rate > 0 ? kept.data() : v()[Array::kValue]; }
  // out = the mask times `in`, columns of row tap * in + input of v; out may be in.
  void mask_row(Index row, const Real* in, Real* out) const;
  WeightDrop drop;
  AlignedBuffer kept;
};

struct TableWeights : Weights {
  TableWeights(const TableShape& table, const Slices& value, const Slices* gain,
               const Slices* bias);
  // Makes rows [begin, end) ready to be added to; false: nobody wrote them, they may be set.
  bool touch(Index begin, Index end);

  TableShape shape;
  std::vector<double> norm2, dot;  // per row, as in ProductWeights
  std::vector<Real> scale;
  // Steps that are put off are not part of the value that the weights stand for, therefore mutable.
  mutable RowLedger ledger;
};

// A range of the vocabulary within one table.
struct Panel {
  TableWeights* table;
  Index begin, length;  // rows of the table
  Index first_word;     // number among the words of the softmax
};

// exp(z - panel maximum) of every row, panel by panel (a panel: a range of the vocabulary).
struct PanelTape : SoftmaxTape {
  std::vector<AlignedBuffer> panels;  // each [rows, words of the panel]
  LogSums sums;

  std::size_t bytes() const override {
    std::size_t numbers = 0;
    for (const AlignedBuffer& panel : panels) numbers += static_cast<std::size_t>(panel.size());
    return numbers * sizeof(Real) + sums.bytes();
  }
  void resize(Index rows, std::span<const Panel> panels_of);
};

// A junction with its arrays resolved to this backend's types, and the per-row work on both sides.
class RowJunction {
 public:
  explicit RowJunction(const Junction& junction);
  // Channels [begin, end) of one row; a and b: the product's halves for these, overwritten.
  void forward(Index row, Index begin, Index end, Real* a, Real* b) const;
  // Closes one row: `product` is the last reader's gradient, d memory for `channels()` numbers.
  // Adds to the bias sums, which may be null.
  void backward(Index row, const Real* product, Real* bias_sum, Real* residual_bias_sum,
                Real* d) const;
  void finish_forward() const;
  void finish_backward() const;
  Index channels() const { return channels_; }
  Index columns() const { return is_paired(junction_.gate) ? 2 * channels_ : channels_; }

 private:
  void gate_backward(Index row, const Real* d, Real* bias_sum) const;

  Junction junction_;
  Index channels_ = 0;
  const RowActivations* shape_ = nullptr;
  const ProductWeights *producer_ = nullptr, *residual_producer_ = nullptr;
};

class ReferenceBackend : public Backend {
 public:
  ReferenceBackend(ThreadPool& pool, RowUpdates updates) : pool_(pool), updates_(updates) {}

  std::string_view name() const override { return "reference"; }
  Index elements(const ConvShape& shape) const override { return shape.elements(); }
  Index elements(const TableShape& shape) const override { return shape.elements(); }
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

 private:
  // Adds a reader's gradient to `below`: for each chunk of rows, product(first, out) sets out. The
  // rows are those of `from`, which may be a selection of those of `below`.
  using RowProduct = std::function<void(Index first, Strided out)>;
  void backward_rows(Junction& below, Into into, const RowActivations& from,
                     const RowProduct& product);
  void close_rows(Junction& below, const RowProduct& product);
  void forward_single_tokens(const RowActivations& x, const ProductWeights& w,
                             const RowJunction& junction);
  void refresh_product(ProductWeights& weights);
  void refresh_table(TableWeights& weights);
  double squared_norm_of(const Slices& slices, Index size);
  void update_plain(const Slices& slices, Index size, const UpdateRule& rule, double decay);
  void update_product(ProductWeights& weights, const UpdateRule& rule);
  void update_table(TableWeights& weights, const UpdateRule& rule);
  double squared_norm_of(const NormWeights& weights);
  void update_norm(NormWeights& weights, const UpdateRule& rule);
  // Takes the steps that these rows of a table owe.
  void catch_up_rows(const TableWeights& weights, Index begin, Index end) const;
  void catch_up_rows(const TableWeights& weights, std::span<const int> rows) const;
  // Memory of one worker; reserved before a job, because chunks must not throw.
  void reserve_scratch(Index size);
  Real* scratch(int worker, Index size);

  ThreadPool& pool_;
  RowUpdates updates_;
  AlignedBuffer zeros_;  // the gradient of rows that have none, as many as a chunk has
  std::vector<AlignedBuffer> scratch_;
};

inline RowActivations& rows_of(Activations& x) { return static_cast<RowActivations&>(x); }
inline const RowActivations& rows_of(const Activations& x) {
  return static_cast<const RowActivations&>(x);
}

}  // namespace sluice::kernels::reference
