#include "sluice/text/lines_batcher.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/memory.h"
#include "sluice/base/random.h"
#include "sluice/text/token_lines.h"

namespace sluice::text {
namespace {

// A sample in one number: its begin, and its length less one, which tokens_per_sample limits.
constexpr int kLengthBits = 20;
constexpr std::uint64_t kLengths = std::uint64_t{1} << kLengthBits;

// Lengths 1 to 16 have a class each, longer ones share eight to the octave: 17-18, 19-20, ...,
// 31-32, 33-36 and so on.
std::size_t class_of(std::uint64_t length) {
  const int octave = std::max(0, static_cast<int>(std::bit_width(length - 1)) - 4);
  return static_cast<std::size_t>(octave) * 8 + ((length - 1) >> octave);
}

// The longest length of a class.
std::uint64_t class_bound(std::size_t number) {
  const std::size_t octave = number < 16 ? 0 : number / 8 - 1;
  return (number - octave * 8 + 1) << octave;
}

// Shows `sample` each line, or each piece of at most `time` targets.
template <class Visit>
void each_sample(const TokenFile& tokens, std::uint64_t time, const Visit& sample) {
  each_line(tokens, [&](std::uint64_t begin, std::uint64_t end) {
    for (; end - begin > time; begin += time) sample(begin, time);
    sample(begin, end - begin);
    return true;
  });
}

}  // namespace

LinesBatcher::LinesBatcher(TokenFile text, const Permutation& permutation, int end_of_line,
                           Index tokens_per_sample, Index batch_size, Index context,
                           std::uint64_t seed)
    : Batcher(std::move(text), permutation, end_of_line, batch_size),
      time_(static_cast<std::uint64_t>(tokens_per_sample)),
      seed_(seed) {
  assert(tokens_per_sample >= 1 && time_ <= kLengths);
  count_classes();
  require_memory(8.0 * static_cast<double>(class_begin_.back()), "the lines of the text");
  fill_classes();
  cut_batches(static_cast<std::uint64_t>(context));
}

void LinesBatcher::count_classes() {
  std::vector<std::uint64_t> counts;
  each_sample(tokens(), time_, [&](std::uint64_t, std::uint64_t length) {
    const std::size_t number = class_of(length);
    if (number >= counts.size()) counts.resize(number + 1);
    ++counts[number];
  });
  class_begin_ = {0};
  for (const std::uint64_t count : counts) class_begin_.push_back(class_begin_.back() + count);
}

void LinesBatcher::fill_classes() {
  samples_.resize(class_begin_.back());
  std::vector<std::uint64_t> next = class_begin_;
  each_sample(tokens(), time_, [&](std::uint64_t begin, std::uint64_t length) {
    samples_[next[class_of(length)]++] = begin << kLengthBits | (length - 1);
  });
}

void LinesBatcher::cut_batches(std::uint64_t context) {
  const auto size = static_cast<std::uint64_t>(batch_size());
  const std::uint64_t most = size * (time_ + context);
  std::uint64_t rows = 0, largest_rows = 0, sum = 0;
  const auto close = [&](std::uint64_t end) {
    sum += rows;
    if (rows > largest_rows) largest_ = batch_begin_.size() - 1;
    largest_rows = std::max(largest_rows, rows);
    batch_begin_.push_back(end);
  };
  batch_begin_ = {0};
  for (std::size_t number = 0; number + 1 < class_begin_.size(); ++number) {
    const std::uint64_t each = std::min(time_, class_bound(number)) + context;
    for (std::uint64_t place = class_begin_[number]; place < class_begin_[number + 1]; ++place) {
      if ((place + 1 - batch_begin_.back()) * each > most) close(place);
      rows = (place + 1 - batch_begin_.back()) * each;
    }
  }
  close(samples_.size());
  set_epoch(batches() * size, static_cast<double>(sum) / static_cast<double>(batches()) /
                                  static_cast<double>(largest_rows));
}

LinesBatcher::Sample LinesBatcher::sample(std::uint64_t epoch_key, std::uint64_t place) const {
  const auto above = std::upper_bound(class_begin_.begin(), class_begin_.end(), place);
  const std::uint64_t begin = above[-1], count = *above - begin;
  const auto number = static_cast<std::uint64_t>(above - class_begin_.begin()) - 1;
  const std::uint64_t packed =
      samples_[begin + permuted_index(derive_key(epoch_key, number), count, place - begin)];
  return {packed >> kLengthBits, packed % kLengths + 1};
}

void LinesBatcher::load_batch(std::uint64_t epoch_key, std::uint64_t number, Batch& batch) const {
  std::vector<Sample> samples;
  std::uint64_t longest = 0;
  for (std::uint64_t place = batch_begin_[number]; place < batch_begin_[number + 1]; ++place) {
    samples.push_back(sample(epoch_key, place));
    longest = std::max(longest, samples.back().length);
  }
  clear(static_cast<Index>(samples.size()), static_cast<Index>(longest), batch);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto [begin, length] = samples[i];
    fill(static_cast<Index>(i), begin, begin + length, batch);
  }
}

void LinesBatcher::load(std::uint64_t first_sample, Batch& batch) const {
  const auto size = static_cast<std::uint64_t>(batch_size());
  assert(first_sample % size == 0);
  const Position position = locate(first_sample);
  const std::uint64_t key = derive_key(seed_, position.epoch);
  const std::uint64_t number =
      permuted_index(derive_key(key, "order"), batches(), position.sample / size);
  load_batch(derive_key(key, "classes"), number, batch);
}

void LinesBatcher::load_largest(Batch& batch) const { load_batch(0, largest_, batch); }

}  // namespace sluice::text
