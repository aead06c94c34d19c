#include "row_ledger.h"

#include <algorithm>
#include <cassert>
#include <limits>

namespace sluice::kernels {
namespace {

constexpr std::size_t kMaxOwed = 1024;  // steps that a row may be behind
static_assert(kMaxOwed <= std::numeric_limits<std::uint16_t>::max());

// Without a gradient, adam's moments and with them its step change in every step.
bool can_wait(UpdateKind kind) { return kind == UpdateKind::kSgd || kind == UpdateKind::kNag; }

}  // namespace

RowLedger::RowLedger(const Chunks& rows)
    : rows_(rows),
      touched_(static_cast<std::size_t>(rows.total)),
      taken_(static_cast<std::size_t>(rows.total)) {}

bool RowLedger::touch(Index begin, Index end, const std::function<void(Index row)>& clear) {
  const auto first = touched_.begin() + begin, last = touched_.begin() + end;
  const auto before = std::count(first, last, std::uint8_t{1});
  if (before > 0 && before < end - begin) {
    for (Index row = begin; row < end; ++row) {
      if (!has_gradient(row)) clear(row);
    }
  }
  std::fill(first, last, std::uint8_t{1});
  return before > 0;
}

void RowLedger::forget_gradients() { std::fill(touched_.begin(), touched_.end(), std::uint8_t{0}); }

// Rows with a gradient were read in the forward pass, and so owe nothing.
bool RowLedger::gradients_are_current() const {
  for (Index row = 0; !owed_.empty() && row < rows_.total; ++row) {
    if (has_gradient(row) && owes(row)) return false;
  }
  return true;
}

void RowLedger::update(ThreadPool& pool, const UpdateRule& rule, bool may_wait,
                       const RowStepper& stepper) {
  assert(gradients_are_current());
  const bool all_touched = std::count(touched_.begin(), touched_.end(), std::uint8_t{0}) == 0;
  if (!may_wait || !can_wait(rule.kind) || all_touched) {
    catch_up(pool, stepper);
    step_rows(pool, rule, true, stepper);
    return;
  }
  step_rows(pool, rule, false, stepper);
  owed_.push_back(rule);
  for (std::size_t row = 0; row < touched_.size(); ++row) {
    if (touched_[row] != 0) taken_[row] = static_cast<std::uint16_t>(owed_.size());
  }
  if (owed_.size() == kMaxOwed) catch_up(pool, stepper);
}

// Steps the rows that have a gradient and, if asked for, the others with one of zero; in runs.
void RowLedger::step_rows(ThreadPool& pool, const UpdateRule& rule, bool untouched_too,
                          const RowStepper& stepper) const {
  pool.run(rows_.count(), [&](Index chunk, int) {
    Index row = rows_.begin(chunk);
    const Index end = rows_.end(chunk);
    while (row < end) {
      const Index first = row;
      const bool touched = has_gradient(row);
      while (row < end && has_gradient(row) == touched) ++row;
      if (touched || untouched_too) stepper.step(rule, first, row, touched);
    }
  });
}

// The steps that one row owes, in their order.
void RowLedger::replay(const RowStepper& stepper, Index row, bool decays) {
  std::uint16_t& taken = taken_[static_cast<std::size_t>(row)];
  if (decays || !stepper.at_rest(row)) {
    for (std::size_t i = taken; i < owed_.size(); ++i) stepper.step(owed_[i], row, row + 1, false);
  }
  taken = static_cast<std::uint16_t>(owed_.size());
}

void RowLedger::settle(ThreadPool& pool, const RowStepper& stepper, std::span<const Index> rows) {
  const bool decays = std::any_of(owed_.begin(), owed_.end(),
                                  [](const UpdateRule& rule) { return rule.matrix_decay != 0; });
  const Chunks chunks = {static_cast<Index>(rows.size()), 64};
  pool.run(chunks.count(), [&](Index chunk, int) {
    for (Index i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
      replay(stepper, rows[static_cast<std::size_t>(i)], decays);
    }
  });
}

void RowLedger::catch_up(ThreadPool& pool, const RowStepper& stepper) {
  if (owed_.empty()) return;
  catch_up(pool, stepper, 0, rows_.total);
  owed_.clear();
  std::fill(taken_.begin(), taken_.end(), std::uint16_t{0});
}

void RowLedger::catch_up(ThreadPool& pool, const RowStepper& stepper, Index begin, Index end) {
  if (owed_.empty()) return;
  std::vector<Index> behind;
  for (Index row = begin; row < end; ++row) {
    if (owes(row)) behind.push_back(row);
  }
  settle(pool, stepper, behind);
}

void RowLedger::catch_up(ThreadPool& pool, const RowStepper& stepper, std::span<const int> rows) {
  if (owed_.empty()) return;
  std::vector<Index> behind;
  for (const int row : rows) {
    if (row >= 0 && owes(row)) behind.push_back(row);
  }
  std::sort(behind.begin(), behind.end());
  behind.erase(std::unique(behind.begin(), behind.end()), behind.end());
  settle(pool, stepper, behind);
}

}  // namespace sluice::kernels
