#include "../penalty.h"

#include "reference_backend.h"

namespace sluice::kernels::reference {

void ReferenceBackend::penalise(Junction& junction, std::span<const int> targets,
                                const ActivationPenalty& penalty) {
  const PenaltyGradient gradient(junction, targets, penalty);
  for (const PenaltyGradient::Part& part : gradient.parts()) {
    if (part.to == nullptr) continue;
    const RowActivations &from = rows_of(*part.from), &to = rows_of(*part.to);
    const Chunks rows = row_chunks(from.span());
    pool_.run(rows.count(), [&](Index chunk, int) {
      for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
        if (from.is_context(row)) continue;
        gradient.add(part, from.token(row), from.row(row), from.width(), from.width(), to.written,
                     to.row(row));
      }
    });
    part.to->written = true;
  }
}

}  // namespace sluice::kernels::reference
