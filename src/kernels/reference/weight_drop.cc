#include <cassert>

#include "reference_backend.h"

namespace sluice::kernels::reference {

// By products, so that a NaN shows also where it is dropped.
void ProductWeights::mask_row(Index row, const Real* in, Real* out) const {
  const RowKey key = row_key(drop.key, static_cast<std::uint64_t>(row / shape.in),
                             static_cast<std::uint64_t>(row % shape.in));
  const std::uint32_t threshold = dropout_threshold(drop.rate);
  for (Index column = 0; column < shape.columns(); ++column) {
    const bool is_kept = channel_bits(key, static_cast<std::uint32_t>(column)) >= threshold;
    out[column] = in[column] * (is_kept ? Real(1) : Real(0));
  }
}

void ReferenceBackend::drop(Weights& weights, const WeightDrop& drop) {
  auto& w = static_cast<ProductWeights&>(weights);
  if (drop == w.drop || (drop.rate == 0 && w.drop.rate == 0)) return;
  assert(!w.stale);
  if (w.drop.rate > 0) refresh(w);
  if (drop.rate == 0) return;
  w.drop = drop;
  if (w.kept.size() == 0) w.kept = AlignedBuffer(w.shape.elements());
  const Index columns = w.shape.columns();
  const Chunks rows = row_runs(w.shape.taps * w.shape.in, columns);
  pool_.run(rows.count(), [&](Index chunk, int) {
    for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      w.mask_row(row, w.v()[Array::kValue] + row * columns, w.kept.data() + row * columns);
    }
  });
  if (w.g() == nullptr) w.scale.assign(static_cast<std::size_t>(columns), 1);
  for (Real& scale : w.scale) scale = static_cast<Real>(static_cast<double>(scale) * drop.keep());
}

}  // namespace sluice::kernels::reference
