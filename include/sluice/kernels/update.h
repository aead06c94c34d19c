#pragma once

#include <cstdint>

#include "sluice/base/real.h"

namespace sluice::kernels {

enum class UpdateKind : std::uint8_t { kNag, kAdamw };

// Arrays of state beyond value and gradient that an update keeps.
constexpr int states_of(UpdateKind kind) { return kind == UpdateKind::kNag ? 1 : 2; }

// One optimiser step on a parameter p with gradient g = scale * dL/dp. Decay first, decoupled:
// p <- p (1 - lr * decay). Then
//   nag (torch.optim.SGD, nesterov):  m <- mu m + g;  p <- p - lr (g + mu m)
//   adamw (Loshchilov and Hutter 2019):
//     m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2
//     p <- p - lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)
struct UpdateRule {
  UpdateKind kind = UpdateKind::kNag;
  double lr = 0;
  double scale = 1;     // 1 / target count, times the clipping factor
  double momentum = 0;  // mu, b1
  double beta2 = 0;
  double eps = 0;
  double matrix_decay = 0;  // of v, under weight norm of g instead
  double other_decay = 0;   // of everything else
  std::int64_t step = 1;    // t: updates applied so far, this one included
};

}  // namespace sluice::kernels
