#include "sluice/nn/workspace.h"

#include "sluice/base/error.h"
#include "sluice/base/memory.h"

namespace sluice::nn {

using kernels::Activations;
using kernels::Form;

void Workspace::reshape(const kernels::RowMap& map) {
  const auto rows = [](const kernels::RowMap& of) {
    return of.tokens() + of.sequences * of.context;
  };
  if (rows(map) > rows(most_) || map.tokens() > most_.tokens() || map.context != map_.context) {
    throw Error(ExitCode::kInternal, "batch: {} sequences of {} tokens in the memory of {} of {}",
                map.sequences, map.time, most_.sequences, most_.time);
  }
  map_ = map;
  for (const auto& activations : all_) {
    if (activations->selection() == nullptr) backend_.reshape(*activations, map);
  }
}

Activations* Workspace::make(Index channels, Form form) {
  // At least this much; a layout may pad. Before the first page of it is touched.
  const double rows =
      static_cast<double>(map_.sequences) * static_cast<double>(map_.time + map_.context);
  reserve(rows * static_cast<double>(channels));
  return all_.emplace_back(backend_.activations(map_, channels, form)).get();
}

Activations* Workspace::selected(const kernels::Selection& selection, Index channels, Form form) {
  reserve(static_cast<double>(selection.source.tokens()) * static_cast<double>(channels));
  return all_.emplace_back(backend_.activations(selection, channels, form)).get();
}

void Workspace::reserve(double numbers) {
  bytes_ += numbers * sizeof(Real);
  require_memory(bytes_, "the activations of a batch");
}

Activations* Workspace::operand(Index channels) {
  return operands_.emplace_back(make(channels, Form::kOperand));
}

Activations* Workspace::saved(Index channels) {
  return training_ && channels > 0 ? make(channels, Form::kSaved) : nullptr;
}

Activations* Workspace::gradient(Index channels, Gradient kind, std::size_t turn) {
  if (!training_) return nullptr;
  Activations*& shared = gradients_[{channels, kind, turn % 2}];
  const bool is_product = kind == Gradient::kProduct || kind == Gradient::kProjection;
  const Form form = is_product ? Form::kProduct : Form::kGradient;
  if (shared == nullptr) shared = make(channels, form);
  return shared;
}

}  // namespace sluice::nn
