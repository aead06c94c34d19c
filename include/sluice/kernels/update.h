#pragma once

#include <cstdint>

#include "sluice/base/real.h"
#include "sluice/kernels/weights.h"

namespace sluice::kernels {

enum class UpdateKind : std::uint8_t { kSgd, kNag, kAdam, kAdamw };

// The arrays that training with an update of this kind needs.
constexpr ArraySet training_arrays(UpdateKind kind, bool average) {
  ArraySet arrays = {Array::kValue, Array::kGradient, Array::kState0};
  if (kind == UpdateKind::kAdam || kind == UpdateKind::kAdamw) arrays.add(Array::kState1);
  if (average) arrays.add(Array::kAverage);
  return arrays;
}

// One optimiser step on a parameter p with gradient g = scale * dL/dp, d the decay of its kind:
//   sgd (torch.optim.SGD):            p <- p (1 - lr d);  m <- mu m + g;  p <- p - lr m
//   nag (torch.optim.SGD, nesterov):  p <- p (1 - lr d);  m <- mu m + g;  p <- p - lr (g + mu m)
//   adam (Kingma and Ba 2015, torch.optim.Adam):  g <- g + d p;  then as adamw without its decay
//   adamw (Loshchilov and Hutter 2019):  p <- p (1 - lr d)
//     m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2
//     p <- p - lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps)
// and, where averages are kept, e <- e + average (p - e) with the new p.
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
  double average = 0;       // share of the new value in the moving average
};

}  // namespace sluice::kernels
