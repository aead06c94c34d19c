#pragma once

#include "sluice/kernels/activations.h"

namespace sluice::kernels {

// A token's place in a batch; its dropout mask hangs on it.
struct Position {
  Index sequence, t;
};

inline Position position_of(const RowMap& map, Index token) {
  return {token / map.time, token % map.time};
}

}  // namespace sluice::kernels
