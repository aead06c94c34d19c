#include "tests/support/blocked_statistics.h"

#include "tests/support/blocked_layout.h"

namespace sluice::testing::blocked {

GateStatistics gate_statistics(const Junction& junction) {
  GateStatistics all;
  if (!has_openness(junction.gate) || junction.saved == nullptr) return all;
  const BlockedActivations& saved = of(*junction.saved);
  const Index per_channel = saved_per_channel(junction.gate);
  const Index channels = junction.output().channels();
  each_token(saved, [&](Index s, Index t, std::size_t) {
    for (Index c = 0; c < channels; ++c) {
      const Real first = saved.at(s, t, per_channel * c);
      const Real second = saved.at(s, t, per_channel * c + per_channel - 1);
      const Real open = openness(junction.gate, first, second);
      all.sum += static_cast<double>(open);
      all.saturated += is_saturated(junction.gate, open) ? 1 : 0;
      all.units += 1;
    }
  });
  return all;
}

double squared_norm(const Activations& x) {
  const BlockedActivations& rows = of(x);
  double sum = 0;
  each_token(rows, [&](Index s, Index t, std::size_t) {
    for (Index c = 0; c < rows.width(); ++c) {
      const double value = static_cast<double>(rows.at(s, t, c));
      sum += value * value;
    }
  });
  return sum;
}

}  // namespace sluice::testing::blocked
