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

void penalise(Junction& junction, std::span<const int> targets, const ActivationPenalty& penalty) {
  const RowMap& map = junction.dropped->map();
  const auto channels = static_cast<Real>(junction.dropped->channels());
  const auto visit = [&](Activations& to, const auto& each) {
    for (Index s = 0; s < map.sequences; ++s) {
      for (Index t = 0; t < map.time; ++t) {
        for (Index c = 0; c < to.channels(); ++c) {
          if (!to.written) of(to).at(s, t, c) = 0;
        }
      }
      for (Index t = 0; t < map.time; ++t) {
        for (Index c = 0; c < to.channels(); ++c) each(s, t, c);
      }
    }
    to.written = true;
  };
  const auto scored = [&](Index s, Index t) {
    return targets[static_cast<std::size_t>(s * map.time + t)] != -1;
  };
  if (penalty.activation > 0) {
    visit(*junction.ddropped, [&](Index s, Index t, Index c) {
      if (!scored(s, t)) return;
      of(*junction.ddropped).at(s, t, c) +=
          static_cast<Real>(2 * penalty.activation) / channels * of(*junction.dropped).at(s, t, c);
    });
  }
  if (penalty.change == 0) return;
  const bool masked = junction.next.rate > 0;
  const Activations& y = masked ? *junction.plain : *junction.dropped;
  Activations& to = masked ? *junction.dy : *junction.ddropped;
  visit(to, [&](Index s, Index t, Index c) {
    if (t == 0 || !scored(s, t) || !scored(s, t - 1)) return;
    const Real change = static_cast<Real>(2 * penalty.change) / channels *
                        (of(y).at(s, t, c) - of(y).at(s, t - 1, c));
    of(to).at(s, t, c) += change;
    of(to).at(s, t - 1, c) -= change;
  });
}

}  // namespace sluice::testing::blocked
