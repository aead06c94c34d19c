#include "src/kernels/penalty.h"

#include "src/kernels/simd/simd_backend.h"

namespace sluice::kernels::simd {

void SimdBackend::penalise(Junction& junction, std::span<const int> targets,
                           const ActivationPenalty& penalty) {
  const PenaltyGradient gradient(junction, targets, penalty);
  for (const PenaltyGradient::Part& part : gradient.parts()) {
    if (part.to == nullptr) continue;
    const BlockedActivations& from = blocked(*part.from);
    BlockedActivations& to = blocked(*part.to);
    const std::vector<std::int32_t>& token = from.token_of();
    pool_.run(blocks_of(from.channels()), [&](Index block, int) {
      for (Index row = 0; row < from.span(); ++row) {
        const Index at = token[static_cast<std::size_t>(row)];
        if (at < 0) continue;
        gradient.add(part, at, from.at(block, row), kBlock, kBlock, to.written, to.at(block, row));
      }
    });
    to.written = true;
    to.paired = false;
  }
}

}  // namespace sluice::kernels::simd
