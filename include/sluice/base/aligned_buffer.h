#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "sluice/base/error.h"
#include "sluice/base/real.h"

namespace sluice {

// A zero-filled array of Real on a cache line boundary, of fixed size. Large ones ask for huge
// pages: products walk through many rows at once, more than small pages have translations for.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(Index size) : size_(size) {
    if (size == 0) return;
    constexpr std::size_t kLine = 64, kHugePage = std::size_t{2} << 20;
    const std::size_t wanted = static_cast<std::size_t>(size) * sizeof(Real);
    const bool large = wanted >= 4 * kHugePage;
    const std::size_t unit = large ? kHugePage : kLine, bytes = (wanted + unit - 1) / unit * unit;
    data_.reset(static_cast<Real*>(std::aligned_alloc(unit, bytes)));
    if (!data_) throw Error(ExitCode::kNoResource, "out of memory: {} bytes wanted", bytes);
    // Advice: without such pages it works all the same.
    if (large) madvise(data_.get(), bytes, MADV_HUGEPAGE);
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
