#include <cassert>

#include "reference_backend.h"

namespace sluice::kernels::reference {

void ReferenceBackend::embed(const Weights& table, std::span<const int> ids, Junction& out) {
  const auto& w = static_cast<const TableWeights&>(table);
  const RowActivations& shape = rows_of(out.output());
  assert(static_cast<Index>(ids.size()) == shape.tokens());
  const RowJunction junction(out);
  const Chunks chunks = row_chunks(shape.span());
  const Index width = w.shape.width;
  assert(w.g() == nullptr);
  assert(std::all_of(ids.begin(), ids.end(),
                     [&](int id) { return id >= kDroppedWord && id < w.shape.rows; }));
  catch_up_rows(w, ids);
  reserve_scratch(width);
  pool_.run(chunks.count(), [&](Index chunk, int worker) {
    Real* z = scratch(worker, width);
    for (Index row = chunks.begin(chunk); row < chunks.end(chunk); ++row) {
      if (shape.is_context(row)) continue;
      const Index id = ids[static_cast<std::size_t>(shape.token(row))];
      if (id == kDroppedWord) {
        std::fill_n(z, width, Real(0));
      } else {
        std::copy_n(w.v()[Array::kValue] + id * width, width, z);
      }
      junction.forward(row, 0, width, z, nullptr);
    }
  });
  junction.finish_forward();
}

void ReferenceBackend::embed_backward(const Activations& dz, std::span<const int> ids,
                                      Weights& table) {
  auto& w = static_cast<TableWeights&>(table);
  const RowActivations& from = rows_of(dz);
  const Index width = w.shape.width;
  assert(w.g() == nullptr && ids.size() == static_cast<std::size_t>(dz.tokens()));
  // Tokens whose row nobody wrote before.
  std::vector<std::uint8_t> sets(ids.size());
  for (std::size_t token = 0; token < ids.size(); ++token) {
    if (ids[token] == kDroppedWord) continue;
    sets[token] = !w.touch(ids[token], ids[token] + 1);
  }
  // Cut over channels, so that each sum has one writer that runs through the tokens in order.
  const Chunks chunks = {width, 32};
  pool_.run(chunks.count(), [&](Index chunk, int) {
    const Index begin = chunks.begin(chunk), length = chunks.length(chunk);
    Strided gradient(w.v()[Array::kGradient] + begin, w.shape.rows, length,
                     Eigen::OuterStride<>(width));
    for (Index row = 0; row < from.span(); ++row) {
      if (from.is_context(row)) continue;
      const auto token = static_cast<std::size_t>(from.token(row));
      if (ids[token] == kDroppedWord) continue;
      auto to = gradient.row(ids[token]).array();
      const ConstRow part(from.row(row) + begin, length);
      if (sets[token] != 0) {
        to = part;
      } else {
        to += part;
      }
    }
  });
}

}  // namespace sluice::kernels::reference
