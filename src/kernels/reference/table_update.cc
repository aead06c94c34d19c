// Updates of tables, most of whose rows have no gradient in most steps.
#include <cmath>

#include "reference_backend.h"
#include "step.h"

namespace sluice::kernels::reference {
namespace {

class TableStepper : public RowStepper {
 public:
  // Zeros: as many as the rows of a run have numbers.
  TableStepper(const TableWeights& table, const Real* zeros) : w_(table), zeros_(zeros) {}

  void step(const UpdateRule& rule, Index begin, Index end, bool with_gradient) const override {
    const Index width = w_.shape.width;
    const Span span(w_.v(), begin * width, (end - begin) * width);
    if (with_gradient && w_.g() != nullptr) {
      for (Index row = begin; row < end; ++row) {
        const auto at = static_cast<std::size_t>(row);
        Row(w_.v()[Array::kGradient] + row * width, width) -=
            ConstRow(w_.v()[Array::kValue] + row * width, width) *
            static_cast<Real>(w_.dot[at] / w_.norm2[at]);
      }
    }
    reference::step(rule, w_.g() == nullptr ? rule.matrix_decay : rule.other_decay,
                    with_gradient ? span.g : zeros_, span);
  }
  // A step makes 0 of a momentum of -0.
  bool at_rest(Index row) const override {
    const Span span(w_.v(), row * w_.shape.width, w_.shape.width);
    const auto zero = [](Real value) { return value == 0 && !std::signbit(value); };
    return std::all_of(span.s0, span.s0 + span.size, zero) &&
           (span.average == nullptr || std::equal(span.p, span.p + span.size, span.average));
  }

 private:
  const TableWeights& w_;
  const Real* zeros_;
};

}  // namespace

void ReferenceBackend::update_table(TableWeights& w, const UpdateRule& rule) {
  // Under weight norm a row's direction and gain would both have to wait.
  const bool may_wait = updates_ == RowUpdates::kLazy && w.g() == nullptr;
  w.ledger.update(pool_, rule, may_wait, TableStepper(w, zeros_.data()));
  if (w.g() != nullptr) {
    for (Index row = 0; row < w.shape.rows; ++row) {
      if (!w.ledger.has_gradient(row)) (*w.g())[Array::kGradient][row] = 0;
    }
    update_plain(*w.g(), w.shape.rows, rule, rule.matrix_decay);
  }
  if (w.b() == nullptr) return;
  if (!w.has_bias_gradient) {
    std::fill_n((*w.b())[Array::kGradient], w.shape.rows, Real(0));
  }
  update_plain(*w.b(), w.shape.rows, rule, rule.other_decay);
}

void ReferenceBackend::catch_up_rows(const TableWeights& w, Index begin, Index end) const {
  w.ledger.catch_up(pool_, TableStepper(w, zeros_.data()), begin, end);
}

void ReferenceBackend::catch_up_rows(const TableWeights& w, std::span<const int> rows) const {
  w.ledger.catch_up(pool_, TableStepper(w, zeros_.data()), rows);
}

void ReferenceBackend::catch_up(const Weights& weights) {
  const auto* table = dynamic_cast<const TableWeights*>(&weights);
  if (table == nullptr) return;
  table->ledger.catch_up(pool_, TableStepper(*table, zeros_.data()));
}

}  // namespace sluice::kernels::reference
