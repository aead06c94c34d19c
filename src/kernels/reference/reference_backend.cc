#include "reference_backend.h"

#include <algorithm>
#include <cassert>

namespace sluice::kernels {
namespace reference {
namespace {

// dL/dv of a table, zero where nobody wrote it; under weight norm as for a product, row by row.
void store_table_gradient(const TableWeights& w, std::span<Real> logical) {
  const Index width = w.shape.width;
  for (Index row = 0; row < w.shape.rows; ++row) {
    const auto at = static_cast<std::size_t>(row);
    Row gradient(logical.data() + row * width, width);
    if (!w.ledger.has_gradient(row)) {
      gradient.setZero();
    } else if (w.g() != nullptr) {
      gradient -= ConstRow(w.v()[Array::kValue] + row * width, width) *
                  static_cast<Real>(w.dot[at] / w.norm2[at]);
    }
  }
}

}  // namespace

RowActivations::RowActivations(const RowMap& map, Index channels, Form form)
    : Activations(map, channels, form),
      data_((map.sequences * (map.context + map.time) + map.context) * channels) {}

RowActivations::RowActivations(const Selection& selection, Index channels, Form form)
    : Activations(selection, channels, form), data_(selection.source.tokens() * channels) {}

void RowActivations::reshape(const RowMap& map) {
  assert(selection() == nullptr && map.context == this->map().context);
  assert((map.sequences * (map.context + map.time) + map.context) * width() <= data_.size());
  set_map(map);
  // Those behind the last sequence too.
  for (Index sequence = 0; sequence <= map.sequences; ++sequence) {
    std::fill_n(base() + sequence * pitch() * width(), map.context * width(), Real(0));
  }
}

ProductWeights::ProductWeights(const ConvShape& conv, const Slices& value, const Slices* gain,
                               const Slices* bias)
    : Weights(value, gain, bias), shape(conv) {
  if (gain == nullptr) return;
  const auto columns = static_cast<std::size_t>(conv.columns());
  norm2.resize(columns);
  scale.resize(columns);
  dot.resize(columns);
}

std::unique_ptr<Activations> ReferenceBackend::activations(const RowMap& map, Index channels,
                                                           Form form) {
  return std::make_unique<RowActivations>(map, channels, form);
}

std::unique_ptr<Activations> ReferenceBackend::activations(const Selection& selection,
                                                           Index channels, Form form) {
  return std::make_unique<RowActivations>(selection, channels, form);
}

void ReferenceBackend::reshape(Activations& x, const RowMap& map) { rows_of(x).reshape(map); }

std::unique_ptr<Weights> ReferenceBackend::weights(const ConvShape& shape, const Slices& v,
                                                   const Slices* g, const Slices* b) {
  return std::make_unique<ProductWeights>(shape, v, g, b);
}

std::unique_ptr<Weights> ReferenceBackend::table(const TableShape& shape, const Slices& v,
                                                 const Slices* g, const Slices* b) {
  const Index run = std::max(kRun, shape.width);
  if (zeros_.size() < run) zeros_ = AlignedBuffer(run);
  return std::make_unique<TableWeights>(shape, v, g, b);
}

std::unique_ptr<SoftmaxTape> ReferenceBackend::softmax_tape() {
  return std::make_unique<PanelTape>();
}

TableWeights::TableWeights(const TableShape& table, const Slices& value, const Slices* gain,
                           const Slices* bias)
    : Weights(value, gain, bias), shape(table), ledger(row_runs(table.rows, table.width)) {
  if (gain == nullptr) return;
  const auto rows = static_cast<std::size_t>(table.rows);
  norm2.resize(rows);
  scale.resize(rows);
  dot.resize(rows);
}

bool TableWeights::touch(Index begin, Index end) {
  has_gradient = true;
  return ledger.touch(begin, end, [this](Index row) {
    std::fill_n(v()[Array::kGradient] + row * shape.width, shape.width, Real(0));
  });
}

void ReferenceBackend::load(Weights& weights, Array array, std::span<const Real> logical) {
  catch_up(weights);
  auto* table = dynamic_cast<TableWeights*>(&weights);
  if (table != nullptr && array == Array::kGradient) table->touch(0, table->shape.rows);
  std::copy(logical.begin(), logical.end(), weights.v()[array]);
  weights.stale = true;
}

void ReferenceBackend::store(const Weights& weights, Array array, std::span<Real> logical) const {
  const auto* table = dynamic_cast<const TableWeights*>(&weights);
  if (table != nullptr) catch_up_rows(*table, 0, table->shape.rows);
  const Real* from = weights.v()[array];
  std::copy(from, from + logical.size(), logical.begin());
  if (array != Array::kGradient) return;
  if (table != nullptr) {
    store_table_gradient(*table, logical);
  } else if (!weights.has_gradient) {
    std::fill(logical.begin(), logical.end(), Real(0));
  } else if (weights.g() != nullptr) {
    // dL/dv = dw' - v (dw' . v) / |v|^2.
    const auto& product = static_cast<const ProductWeights&>(weights);
    const auto columns = static_cast<std::size_t>(product.shape.columns());
    const Real* v = weights.v()[Array::kValue];
    for (std::size_t i = 0; i < logical.size(); ++i) {
      const std::size_t column = i % columns;
      logical[i] -= static_cast<Real>(v[i] * product.dot[column] / product.norm2[column]);
    }
  }
}

void ReferenceBackend::load(Activations& to, std::span<const Real> logical) {
  RowActivations& rows = rows_of(to);
  assert(static_cast<Index>(logical.size()) == to.tokens() * rows.width());
  for (Index r = 0; r < rows.span(); ++r) {
    if (rows.is_context(r)) continue;
    const Real* from = logical.data() + rows.token(r) * rows.width();
    std::copy(from, from + rows.width(), rows.row(r));
  }
  to.written = true;
}

void ReferenceBackend::store(const Activations& from, std::span<Real> logical) const {
  const RowActivations& rows = rows_of(from);
  assert(static_cast<Index>(logical.size()) == from.tokens() * rows.width());
  for (Index r = 0; r < rows.span(); ++r) {
    if (rows.is_context(r)) continue;
    std::copy(rows.row(r), rows.row(r) + rows.width(),
              logical.data() + rows.token(r) * rows.width());
  }
}

void ReferenceBackend::gather(const Activations& x, Activations& out) {
  const RowActivations &from = rows_of(x), &to = rows_of(out);
  assert(out.selection() != nullptr && out.selection()->source == x.map());
  const Chunks chunks = row_chunks(to.span());
  pool_.run(chunks.count(), [&](Index chunk, int) {
    for (Index row = chunks.begin(chunk); row < chunks.end(chunk); ++row) {
      const Real* values = from.row(from.row_of(to.position(row)));
      std::copy(values, values + to.width(), to.row(row));
    }
  });
  out.written = true;
}

void ReferenceBackend::carry_context(const Activations& from, Activations& to,
                                     std::span<const Index> sources) {
  const RowActivations& source = rows_of(from);
  const RowActivations& target = rows_of(to);
  assert(from.map().context == to.map().context && source.width() == target.width());
  assert(sources.empty()
             ? from.map().sequences == to.map().sequences
             : to.map().sequences == static_cast<Index>(sources.size()) && &from != &to);
  const Index context = from.map().context, width = source.width();
  for (Index sequence = 0; sequence < to.map().sequences; ++sequence) {
    const Index origin = sources.empty() ? sequence : sources[static_cast<std::size_t>(sequence)];
    assert(origin >= -1 && origin < from.map().sequences);
    if (origin < 0) continue;
    // Rows [time, time + context) of a sequence, counted from its first context row. The target
    // lies before the source when both are one array: copy forward.
    const Real* begin = source.base() + (origin * source.pitch() + from.map().time) * width;
    Real* out = target.base() + sequence * target.pitch() * width;
    std::copy(begin, begin + context * width, out);
  }
}

void ReferenceBackend::clear_context(Activations& to) {
  const RowActivations& target = rows_of(to);
  for (Index sequence = 0; sequence < to.map().sequences; ++sequence) {
    Real* out = target.base() + sequence * target.pitch() * target.width();
    std::fill(out, out + to.map().context * target.width(), Real(0));
  }
}

Real* ReferenceBackend::scratch(int worker, Index size) {
  AlignedBuffer& buffer = scratch_[static_cast<std::size_t>(worker)];
  assert(buffer.size() >= size);
  (void)size;
  return buffer.data();
}

void ReferenceBackend::reserve_scratch(Index size) {
  scratch_.resize(static_cast<std::size_t>(pool_.size()));
  for (AlignedBuffer& buffer : scratch_) {
    if (buffer.size() < size) buffer = AlignedBuffer(size);
  }
}

}  // namespace reference

std::unique_ptr<Backend> make_reference_backend(ThreadPool& pool, RowUpdates updates) {
  return std::make_unique<reference::ReferenceBackend>(pool, updates);
}

}  // namespace sluice::kernels
