#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>

#include "sluice/base/error.h"
#include "sluice/base/real.h"

namespace sluice {

// A zero-filled array of Real on a cache line boundary, of fixed size.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(Index size) : size_(size) {
    if (size == 0) return;
    const std::size_t bytes = (static_cast<std::size_t>(size) * sizeof(Real) + 63) / 64 * 64;
    data_.reset(static_cast<Real*>(std::aligned_alloc(64, bytes)));
    if (!data_) throw Error(ExitCode::kNoResource, "out of memory: {} bytes wanted", bytes);
    std::memset(data_.get(), 0, bytes);
  }

  Real* data() const { return data_.get(); }
  Index size() const { return size_; }

 private:
  struct Free {
    void operator()(Real* p) const { std::free(p); }
  };
  std::unique_ptr<Real[], Free> data_;
  Index size_ = 0;
};

}  // namespace sluice
