#pragma once

#include <algorithm>
#include <cassert>
#include <iterator>
#include <span>

#include "sluice/kernels/junction.h"

namespace sluice::kernels {

// The gradient of an ActivationPenalty for runs of channels of one token, the same in all backends;
// the rows of the tokens beside it lie `pitch` numbers away.
class PenaltyGradient {
 public:
  // What is written where, and from what.
  struct Part {
    const Activations* from = nullptr;
    Activations* to = nullptr;  // null: nothing
    double activation = 0, change = 0;
  };
  // Without a mask between them y is `dropped`, and one part has it all.
  PenaltyGradient(const Junction& junction, std::span<const int> targets,
                  const ActivationPenalty& penalty)
      : targets_(targets), time_(junction.dropped->map().time) {
    assert(junction.dropped->selection() == nullptr);
    assert(static_cast<Index>(targets.size()) == junction.dropped->tokens());
    const double factor = 2 / static_cast<double>(junction.dropped->channels());
    const bool apart = penalty.change > 0 && junction.next.rate > 0;
    parts_[0] = {.from = junction.dropped,
                 .to = penalty.activation > 0 || !apart ? junction.ddropped : nullptr,
                 .activation = factor * penalty.activation,
                 .change = apart ? 0 : factor * penalty.change};
    if (apart) parts_[1] = {junction.plain, junction.dy, 0, factor * penalty.change};
    assert(std::all_of(std::begin(parts_), std::end(parts_), [](const Part& part) {
      return part.to == nullptr || part.from != nullptr;
    }));
  }
  std::span<const Part> parts() const { return parts_; }

  void add(const Part& part, Index token, const Real* h, Index pitch, Index width, bool adds,
           Real* to) const {
    const bool here = has_target(token), first = token % time_ == 0;
    const bool before = here && part.change > 0 && !first && has_target(token - 1);
    const bool behind =
        here && part.change > 0 && (token + 1) % time_ != 0 && has_target(token + 1);
    const Real own = static_cast<Real>((here ? part.activation : 0) + (before ? part.change : 0) +
                                       (behind ? part.change : 0));
    const Real change = static_cast<Real>(part.change);
    for (Index c = 0; c < width; ++c) {
      Real gradient = own * h[c];
      if (before) gradient -= change * h[c - pitch];
      if (behind) gradient -= change * h[c + pitch];
      to[c] = adds ? to[c] + gradient : gradient;
    }
  }

 private:
  bool has_target(Index token) const { return targets_[static_cast<std::size_t>(token)] >= 0; }

  std::span<const int> targets_;
  Index time_;
  Part parts_[2];
};

}  // namespace sluice::kernels
