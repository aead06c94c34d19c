#pragma once

#include "sluice/base/aligned_buffer.h"
#include "sluice/base/memory.h"

namespace sluice::kernels::simd {

// Memory of an operation, kept for the next; what stood there is lost. Error kNoResource.
inline float* grown(AlignedBuffer& buffer, Index size) {
  if (buffer.size() < size) {
    buffer = AlignedBuffer();
    require_memory(
        static_cast<double>(size) * sizeof(float) + static_cast<double>(resident_memory().now),
        "an operation's operands");
    buffer = AlignedBuffer(size);
  }
  return buffer.data();
}

}  // namespace sluice::kernels::simd
