// Looks at what forward and backward left behind; changes nothing.
#include <vector>

#include "reference_backend.h"

namespace sluice::kernels::reference {
namespace {

GateStatistics& operator+=(GateStatistics& all, const GateStatistics& part) {
  all.sum += part.sum;
  all.saturated += part.saturated;
  all.units += part.units;
  return all;
}

GateStatistics row_statistics(Gate gate, const Real* first, const Real* second, Index channels) {
  GateStatistics row = {.units = static_cast<double>(channels)};
  if (gate == Gate::kGlu || gate == Gate::kGtu) {
    // The common case, in vectors.
    const ConstRow sigma(second, channels);
    row.sum = static_cast<double>(sigma.sum());
    row.saturated = static_cast<double>((sigma < Real(0.05) || sigma > Real(0.95)).count());
    return row;
  }
  for (Index c = 0; c < channels; ++c) {
    const Real open = openness(gate, first[c], second[c]);
    row.sum += static_cast<double>(open);
    row.saturated += is_saturated(gate, open) ? 1 : 0;
  }
  return row;
}

}  // namespace

GateStatistics ReferenceBackend::gate_statistics(const Junction& junction) {
  const Gate gate = junction.gate;
  if (!has_openness(gate) || junction.saved == nullptr) return {};
  const RowActivations& saved = rows_of(*junction.saved);
  const Index channels = RowJunction(junction).channels();
  const Chunks chunks = row_chunks(saved.span());
  std::vector<GateStatistics> parts(static_cast<std::size_t>(chunks.count()));
  pool_.run(chunks.count(), [&](Index chunk, int) {
    GateStatistics& part = parts[static_cast<std::size_t>(chunk)];
    for (Index row = chunks.begin(chunk); row < chunks.end(chunk); ++row) {
      if (saved.is_context(row)) continue;
      const Real* first = saved.row(row);
      // A gate that is not paired saves one half alone.
      part += row_statistics(gate, first, is_paired(gate) ? first + channels : first, channels);
    }
  });
  GateStatistics all;
  for (const GateStatistics& part : parts) all += part;
  return all;
}

double ReferenceBackend::squared_norm(const Activations& x) {
  const RowActivations& rows = rows_of(x);
  const Chunks chunks = row_chunks(rows.span());
  std::vector<double> parts(static_cast<std::size_t>(chunks.count()));
  pool_.run(chunks.count(), [&](Index chunk, int) {
    for (Index row = chunks.begin(chunk); row < chunks.end(chunk); ++row) {
      if (rows.is_context(row)) continue;
      parts[static_cast<std::size_t>(chunk)] +=
          static_cast<double>(ConstRow(rows.row(row), rows.width()).square().sum());
    }
  });
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

}  // namespace sluice::kernels::reference
