#include "sluice/text/batcher.h"

#include <algorithm>
#include <span>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/random.h"
#include "sluice/text/contiguous_batcher.h"
#include "sluice/text/lines_batcher.h"

namespace sluice::text {
namespace {

// How many windows an epoch has, and which offsets give that number. Offset o > 0 puts a window of
// o targets in front; with m = tokens mod time, offsets 0 and m.. give one window less than 1..m-1
// (or, where time divides the text, 0 alone one less than all others). The larger of the two sets
// is drawn from, so that every epoch is equally long and a position is found by one division.
struct Cut {
  Cut(std::uint64_t tokens, std::uint64_t time) {
    const std::uint64_t rest = tokens % time;
    const std::uint64_t few = rest > 0 ? time - rest + 1 : 1;
    const std::uint64_t many = rest > 0 ? rest - 1 : time - 1;
    const bool more = many > few;
    windows = tokens / time + (rest > 0 ? 1 : 0) + (more ? 1 : 0);
    choices = more ? many : few;
    first = more ? 1 : rest;
    zero = !more;
  }
  std::uint64_t offset(std::uint64_t draw) const {
    const std::uint64_t choice = draw % choices;
    if (!zero) return first + choice;
    return choice == 0 ? 0 : first + choice - 1;
  }

  std::uint64_t windows = 0, choices = 0, first = 0;
  bool zero = false;  // offset 0 is one of the choices, then from `first` on
};

// One epoch's windows over `tokens` targets: [0, offset), [offset, offset + time) and so on; the
// first is missing when offset is 0.
struct Epoch {
  Epoch(std::uint64_t seed, std::uint64_t number, std::uint64_t tokens_, std::uint64_t time_)
      : tokens(tokens_), time(time_) {
    const Cut cut(tokens, time);
    const std::uint64_t key = derive_key(seed, number);
    offset = cut.offset(derive_key(key, "offset"));
    order_key = derive_key(key, "order");
    samples = cut.windows;
  }

  // Targets [first, second) of window `i` in text order.
  std::pair<std::uint64_t, std::uint64_t> window(std::uint64_t i) const {
    if (offset == 0) return {i * time, std::min(tokens, (i + 1) * time)};
    if (i == 0) return {0, offset};
    return {offset + (i - 1) * time, std::min(tokens, offset + i * time)};
  }

  std::uint64_t tokens, time;
  std::uint64_t offset = 0, order_key = 0, samples = 0;
};

}  // namespace

Batcher::Batcher(TokenFile tokens, const Permutation& permutation, int end_of_line,
                 Index batch_size)
    : tokens_(std::move(tokens)),
      permutation_(&permutation),
      end_of_line_(end_of_line),
      batch_size_(batch_size) {
  if (tokens_.vocabulary() != permutation.size() || end_of_line < 0 ||
      end_of_line >= permutation.size()) {
    throw Error(ExitCode::kBadData,
                "the text was encoded with another vocabulary than the model's (expected {} ids, "
                "found {})",
                permutation.size(), tokens_.vocabulary());
  }
}

void Batcher::set_epoch(std::uint64_t samples, double mean_load) {
  samples_in_epoch_ = samples;
  mean_load_ = mean_load;
}

Batcher::Position Batcher::locate(std::uint64_t sample) const {
  return {sample / samples_in_epoch_, sample % samples_in_epoch_, samples_in_epoch_};
}

void Batcher::clear(Index sequences, Index time, Batch& batch) const {
  const auto size = static_cast<std::size_t>(sequences * time);
  batch.sequences = sequences;
  batch.time = time;
  batch.inputs.assign(size, permutation_->to_model(end_of_line_));
  batch.targets.assign(size, -1);
  batch.scored = 0;
  batch.continues = false;
}

void Batcher::fill(Index b, std::uint64_t begin, std::uint64_t end, Batch& batch,
                   std::uint64_t context) const {
  const std::uint64_t unscored = std::min(begin, context);
  begin -= unscored;
  const auto row = static_cast<std::size_t>(b * batch.time);
  const std::span targets(batch.targets.data() + row, static_cast<std::size_t>(end - begin));
  const std::span inputs(batch.inputs.data() + row, targets.size());
  tokens_.read(begin, targets);
  for (int& id : targets) id = permutation_->to_model(id);
  if (begin > 0) {
    tokens_.read(begin - 1, inputs.first(1));
    inputs[0] = permutation_->to_model(inputs[0]);
  }
  std::copy(targets.begin(), targets.end() - 1, inputs.begin() + 1);
  std::fill_n(targets.begin(), unscored, -1);
  batch.scored += static_cast<Index>(targets.size() - unscored);
}

StreamBatcher::StreamBatcher(TokenFile text, const Permutation& permutation, int end_of_line,
                             Index tokens_per_sample, Index batch_size, std::uint64_t seed,
                             Index context_tokens)
    : Batcher(std::move(text), permutation, end_of_line, batch_size),
      time_(tokens_per_sample),
      context_(context_tokens),
      seed_(seed) {
  if (tokens().size() < static_cast<std::uint64_t>(time_)) {
    throw Error(ExitCode::kBadData,
                "the training text is shorter than one sample (expected {} tokens, found {}); "
                "lower data.tokens_per_sample",
                time_, tokens().size());
  }
  set_epoch(Cut(tokens().size(), static_cast<std::uint64_t>(time_)).windows, 1);
}

void StreamBatcher::load(std::uint64_t first_sample, Batch& batch) const {
  clear(batch_size(), context_ + time_, batch);
  const auto time = static_cast<std::uint64_t>(time_);
  Position position = locate(first_sample);
  Epoch epoch(seed_, position.epoch, tokens().size(), time);
  for (Index b = 0; b < batch.sequences; ++b, ++position.sample) {
    if (position.sample == epoch.samples) {
      position = {position.epoch + 1, 0, 0};
      epoch = Epoch(seed_, position.epoch, tokens().size(), time);
    }
    const auto [begin, end] =
        epoch.window(permuted_index(epoch.order_key, epoch.samples, position.sample));
    fill(b, begin, end, batch, static_cast<std::uint64_t>(context_));
  }
}

std::unique_ptr<Batcher> make_batcher(const DataConfig& data, TokenFile tokens,
                                      const Permutation& permutation, int end_of_line,
                                      Index context, std::uint64_t seed) {
  if (data.mode == Mode::kLines) {
    return std::make_unique<LinesBatcher>(std::move(tokens), permutation, end_of_line,
                                          data.tokens_per_sample, data.batch_size, context, seed);
  }
  if (data.carry_context) {
    return std::make_unique<ContiguousBatcher>(std::move(tokens), permutation, end_of_line,
                                               data.tokens_per_sample, data.batch_size, seed);
  }
  return std::make_unique<StreamBatcher>(std::move(tokens), permutation, end_of_line,
                                         data.tokens_per_sample, data.batch_size, seed,
                                         data.context_tokens);
}

}  // namespace sluice::text
