#pragma once

#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "sluice/kernels/backend.h"

namespace sluice::nn {

// Memory of one batch in flight: every activation, saved value and gradient that forward and
// backward pass between kernels. Laid out for a RowMap; nothing in it grows afterwards.
class Workspace {
 public:
  // For evaluation, leave out what only backward needs.
  Workspace(kernels::Backend& backend, const kernels::RowMap& map, bool training)
      : backend_(backend), map_(map), most_(map), training_(training) {}
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  kernels::Backend& backend() const { return backend_; }
  const kernels::RowMap& map() const { return map_; }
  // Another batch in the same memory: no more rows and tokens than it was made for, the context as
  // wide, and zero.
  void reshape(const kernels::RowMap& map);
  bool training() const { return training_; }

  kernels::Activations* stream(Index channels) { return make(channels, kernels::Form::kStream); }
  kernels::Activations* product(Index channels) { return make(channels, kernels::Form::kProduct); }
  // What products read; its context rows are what a stream carries from window to window.
  kernels::Activations* operand(Index channels);
  // Null in evaluation, and for a gate that saves nothing.
  kernels::Activations* saved(Index channels);
  // Rows of a selection of this batch's tokens.
  kernels::Activations* selected(const kernels::Selection& selection, Index channels,
                                 kernels::Form form);
  // Gradients live briefly, so those of one width share memory, alternating between two arrays for
  // even and odd `turn`; null in evaluation.
  enum class Gradient { kStream, kProduct, kProjection, kPenalty };
  kernels::Activations* gradient(Index channels, Gradient kind, std::size_t turn);

  // Of all arrays so far, without the padding of a layout.
  double bytes() const { return bytes_; }
  const std::vector<kernels::Activations*>& operands() const { return operands_; }

 private:
  kernels::Activations* make(Index channels, kernels::Form form);
  void reserve(double numbers);

  kernels::Backend& backend_;
  kernels::RowMap map_, most_;
  bool training_;
  double bytes_ = 0;
  std::vector<std::unique_ptr<kernels::Activations>> all_;
  std::vector<kernels::Activations*> operands_;
  std::map<std::tuple<Index, Gradient, std::size_t>, kernels::Activations*> gradients_;
};

}  // namespace sluice::nn
