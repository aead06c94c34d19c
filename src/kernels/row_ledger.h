#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "chunks.h"
#include "sluice/base/thread_pool.h"
#include "sluice/kernels/update.h"

namespace sluice::kernels {

// One optimiser step on rows of a table, in the layout of a backend. Called from any thread of a
// pool, on distinct rows; must not throw.
class RowStepper {
 public:
  virtual ~RowStepper() = default;
  // Rows [begin, end): with their gradient, or with one of zero whatever their memory holds.
  virtual void step(const UpdateRule& rule, Index begin, Index end, bool with_gradient) const = 0;
  // Whether steps without gradient and decay leave the row as it is, to the bit.
  virtual bool at_rest(Index row) const = 0;
};

// Which rows of a table have a gradient, and how many steps each is behind. Rows are stepped only
// when somebody reads them or has a gradient for them: what the others owe is kept as a count. A
// zero gradient makes a step of sgd and nag cheap to take later, row by row and in cache; it is the
// same arithmetic, so the bits are those of stepping all rows.
class RowLedger {
 public:
  // Rows, and how many of them are work enough for a thread.
  explicit RowLedger(const Chunks& rows);

  bool has_gradients(Index begin, Index end) const {
    return std::find(touched_.begin() + begin, touched_.begin() + end, std::uint8_t{0}) ==
           touched_.begin() + end;
  }
  bool has_gradient(Index row) const { return touched_[static_cast<std::size_t>(row)] != 0; }
  // Makes the gradients of rows [begin, end) ready to be added to; false: nobody wrote them, they
  // may be set. `clear` sets one row's gradient to zero.
  bool touch(Index begin, Index end, const std::function<void(Index row)>& clear);
  void forget_gradients();

  // One step on all rows. may_wait: those without a gradient may take it later, if the kind of
  // update allows that.
  void update(ThreadPool& pool, const UpdateRule& rule, bool may_wait, const RowStepper& stepper);
  // Takes the steps that rows owe: all of them, [begin, end), or those listed, maybe repeatedly
  // and among numbers below 0, which are no rows.
  void catch_up(ThreadPool& pool, const RowStepper& stepper);
  void catch_up(ThreadPool& pool, const RowStepper& stepper, Index begin, Index end);
  void catch_up(ThreadPool& pool, const RowStepper& stepper, std::span<const int> rows);

 private:
  bool owes(Index row) const { return taken_[static_cast<std::size_t>(row)] < owed_.size(); }
  bool gradients_are_current() const;
  void step_rows(ThreadPool& pool, const UpdateRule& rule, bool untouched_too,
                 const RowStepper& stepper) const;
  // Distinct rows.
  void settle(ThreadPool& pool, const RowStepper& stepper, std::span<const Index> rows);
  void replay(const RowStepper& stepper, Index row, bool decays);

  Chunks rows_;
  std::vector<std::uint8_t> touched_;  // rows with a gradient
  // Row r has not taken owed_[taken_[r]] and later ones.
  std::vector<UpdateRule> owed_;
  std::vector<std::uint16_t> taken_;
};

}  // namespace sluice::kernels
