#include "sluice/text/contiguous_batcher.h"

#include <cassert>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/random.h"

namespace sluice::text {

ContiguousBatcher::ContiguousBatcher(TokenFile text, const Permutation& permutation,
                                     int end_of_line, Index tokens_per_sample, Index batch_size,
                                     std::uint64_t seed)
    : Batcher(std::move(text), permutation, end_of_line, batch_size),
      time_(static_cast<std::uint64_t>(tokens_per_sample)),
      seed_(seed) {
  const std::uint64_t found = tokens().size();
  const std::uint64_t per_batch = static_cast<std::uint64_t>(batch_size) * time_;
  const std::uint64_t needed = per_batch + time_ - 1;
  if (found < needed) {
    throw Error(ExitCode::kBadData,
                "the training text is shorter than one window in each of {} streams (expected {} "
                "tokens, found {}); lower data.batch_size or data.tokens_per_sample",
                batch_size, needed, found);
  }
  windows_ = (found - (time_ - 1)) / per_batch;
  offsets_ = found - windows_ * per_batch + 1;
  set_epoch(windows_ * static_cast<std::uint64_t>(batch_size), 1);
}

void ContiguousBatcher::load(std::uint64_t first_sample, Batch& batch) const {
  const auto streams = static_cast<std::uint64_t>(batch_size());
  assert(first_sample % streams == 0);
  const Position position = locate(first_sample);
  const std::uint64_t offset = derive_key(derive_key(seed_, position.epoch), "offset") % offsets_;
  const std::uint64_t window = position.sample / streams;
  clear(batch_size(), static_cast<Index>(time_), batch);
  batch.continues = window > 0;
  for (std::uint64_t b = 0; b < streams; ++b) {
    const std::uint64_t begin = offset + (b * windows_ + window) * time_;
    fill(static_cast<Index>(b), begin, begin + time_, batch);
  }
}

}  // namespace sluice::text
