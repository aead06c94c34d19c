#pragma once

#include "sluice/base/aligned_buffer.h"

namespace sluice::kernels::simd {

// Memory of an operation, kept for the next; what stood there is lost.
inline float* grown(AlignedBuffer& buffer, Index size) {
  if (buffer.size() < size) {
    buffer = AlignedBuffer();
    buffer = AlignedBuffer(size);
  }
  return buffer.data();
}

}  // namespace sluice::kernels::simd
