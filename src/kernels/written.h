#pragma once

#include "sluice/kernels/junction.h"

namespace sluice::kernels {

// What a junction's arrays hold after forward, and after its backward closed.
inline void mark_forward(const Junction& junction) {
  for (Activations* out : {junction.stream, junction.plain, junction.dropped, junction.saved}) {
    if (out != nullptr) out->written = true;
  }
}
inline void mark_backward(const Junction& junction) {
  for (Activations* used : {junction.dy, junction.ddropped}) {
    if (used != nullptr) used->written = false;
  }
  for (Activations* made : {junction.dresidual, junction.dz}) {
    if (made != nullptr) made->written = true;
  }
}

}  // namespace sluice::kernels
