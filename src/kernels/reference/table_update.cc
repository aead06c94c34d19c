// Updates of tables, most of whose rows have no gradient in most steps.
#include <cassert>
#include <cmath>
#include <limits>

#include "reference_backend.h"
#include "step.h"

namespace sluice::kernels::reference {
namespace {

constexpr std::size_t kMaxOwed = 1024;  // steps that a row may be behind
static_assert(kMaxOwed <= std::numeric_limits<decltype(TableWeights::taken)::value_type>::max());

// Without a gradient, adam's moments and with them its step change in every step.
bool may_wait(const TableWeights& w, const UpdateRule& rule) {
  return w.g() == nullptr && (rule.kind == UpdateKind::kSgd || rule.kind == UpdateKind::kNag);
}

// Whether steps without gradient and decay leave these numbers as they are, to the bit: a step
// makes 0 of a momentum of -0.
bool at_rest(const Span& span) {
  const auto zero = [](Real value) { return value == 0 && !std::signbit(value); };
  return std::all_of(span.s0, span.s0 + span.size, zero) &&
         (span.average == nullptr || std::equal(span.p, span.p + span.size, span.average));
}

// The steps that one row owes, in their order.
void replay(const TableWeights& w, Index row, bool decays, const Real* zeros) {
  const auto at = static_cast<std::size_t>(row);
  const Span span(w.v(), row * w.shape.width, w.shape.width);
  if (decays || !at_rest(span)) {
    for (std::size_t i = w.taken[at]; i < w.owed.size(); ++i) {
      step(w.owed[i], w.owed[i].matrix_decay, zeros, span);
    }
  }
  w.taken[at] = static_cast<std::uint16_t>(w.owed.size());
}

// Rows with a gradient were read in the forward pass, and so owe nothing.
[[maybe_unused]] bool gradients_are_current(const TableWeights& w) {
  for (std::size_t row = 0; !w.owed.empty() && row < w.touched.size(); ++row) {
    if (w.touched[row] != 0 && w.taken[row] < w.owed.size()) return false;
  }
  return true;
}

}  // namespace

void ReferenceBackend::update_table(TableWeights& w, const UpdateRule& rule) {
  assert(gradients_are_current(w));
  const bool lazy = updates_ == RowUpdates::kLazy && may_wait(w, rule);
  const bool all_touched = std::count(w.touched.begin(), w.touched.end(), std::uint8_t{0}) == 0;
  if (!lazy || all_touched) {
    catch_up(w);
    step_rows(w, rule, true);
  } else {
    step_rows(w, rule, false);
    w.taken.resize(w.touched.size());
    w.owed.push_back(rule);
    for (std::size_t row = 0; row < w.touched.size(); ++row) {
      if (w.touched[row] != 0) w.taken[row] = static_cast<std::uint16_t>(w.owed.size());
    }
    if (w.owed.size() == kMaxOwed) catch_up(w);
  }
  if (w.g() != nullptr) {
    for (Index row = 0; row < w.shape.rows; ++row) {
      if (w.touched[static_cast<std::size_t>(row)] == 0) (*w.g())[Array::kGradient][row] = 0;
    }
    update_plain(*w.g(), w.shape.rows, rule, rule.matrix_decay);
  }
  if (w.b() == nullptr) return;
  if (!w.has_bias_gradient) {
    std::fill_n((*w.b())[Array::kGradient], w.shape.rows, Real(0));
  }
  update_plain(*w.b(), w.shape.rows, rule, rule.other_decay);
}

// Steps the rows that have a gradient and, if asked for, the others with one of zero; in runs.
void ReferenceBackend::step_rows(TableWeights& w, const UpdateRule& rule, bool untouched_too) {
  const Index width = w.shape.width;
  const double decay = w.g() == nullptr ? rule.matrix_decay : rule.other_decay;
  const Chunks rows = row_runs(w.shape.rows, width);
  pool_.run(rows.count(), [&](Index chunk, int) {
    Index row = rows.begin(chunk);
    const Index end = rows.end(chunk);
    while (row < end) {
      const Index first = row;
      const bool touched = w.touched[static_cast<std::size_t>(row)] != 0;
      while (row < end && (w.touched[static_cast<std::size_t>(row)] != 0) == touched) ++row;
      if (!touched && !untouched_too) continue;
      const Span span(w.v(), first * width, (row - first) * width);
      if (touched && w.g() != nullptr) {
        for (Index i = first; i < row; ++i) {
          const auto at = static_cast<std::size_t>(i);
          Row(w.v()[Array::kGradient] + i * width, width) -=
              ConstRow(w.v()[Array::kValue] + i * width, width) *
              static_cast<Real>(w.dot[at] / w.norm2[at]);
        }
      }
      step(rule, decay, touched ? span.g : zeros_.data(), span);
    }
  });
}

void ReferenceBackend::catch_up_rows(const TableWeights& w, std::span<const Index> rows) const {
  if (w.owed.empty()) return;
  const bool decays = std::any_of(w.owed.begin(), w.owed.end(),
                                  [](const UpdateRule& rule) { return rule.matrix_decay != 0; });
  const Chunks chunks = {static_cast<Index>(rows.size()), 64};
  pool_.run(chunks.count(), [&](Index chunk, int) {
    for (Index i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
      replay(w, rows[static_cast<std::size_t>(i)], decays, zeros_.data());
    }
  });
}

void ReferenceBackend::catch_up_range(const TableWeights& w, Index begin, Index end) const {
  if (w.owed.empty()) return;
  std::vector<Index> behind;
  for (Index row = begin; row < end; ++row) {
    if (w.taken[static_cast<std::size_t>(row)] < w.owed.size()) behind.push_back(row);
  }
  catch_up_rows(w, behind);
}

void ReferenceBackend::catch_up(const Weights& weights) {
  const auto* table = dynamic_cast<const TableWeights*>(&weights);
  if (table == nullptr || table->owed.empty()) return;
  catch_up_range(*table, 0, table->shape.rows);
  table->owed.clear();
  std::fill(table->taken.begin(), table->taken.end(), std::uint16_t{0});
}

}  // namespace sluice::kernels::reference
