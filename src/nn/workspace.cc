#include "sluice/nn/workspace.h"

#include "sluice/base/memory.h"

namespace sluice::nn {

using kernels::Activations;
using kernels::Form;

Activations* Workspace::make(Index channels, Form form) {
  // At least this much; a layout may pad. Before the first page of it is touched.
  const double rows =
      static_cast<double>(map_.sequences) * static_cast<double>(map_.time + map_.context);
  const double numbers = rows * static_cast<double>(channels) * (form == Form::kSaved ? 2 : 1);
  bytes_ += numbers * sizeof(Real);
  require_memory(bytes_, "the activations of a batch");
  return all_.emplace_back(backend_.activations(map_, channels, form)).get();
}

Activations* Workspace::operand(Index channels) {
  return operands_.emplace_back(make(channels, Form::kOperand));
}

Activations* Workspace::saved(Index channels) {
  return training_ ? make(channels, Form::kSaved) : nullptr;
}

Activations* Workspace::gradient(Index channels, Gradient kind, std::size_t turn) {
  if (!training_) return nullptr;
  Activations*& shared = gradients_[{channels, kind, turn % 2}];
  const Form form = kind == Gradient::kStream ? Form::kGradient : Form::kProduct;
  if (shared == nullptr) shared = make(channels, form);
  return shared;
}

}  // namespace sluice::nn
