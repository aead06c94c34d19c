#include "src/kernels/simd/layout.h"

#include <algorithm>
#include <cassert>

namespace sluice::kernels::simd {
namespace {

// A block too many: the halves of a paired product are padded one by one.
Index blocks_for(Index channels, Form form) {
  return blocks_of(channels) + (form == Form::kSaved || form == Form::kProduct ? 1 : 0);
}

// Context in front and behind, so that windows of products need no edge case, and what the last
// tile computes too much.
Index rows_for(const RowMap& map) {
  return map.sequences * (map.context + map.time) + map.context + kMostRows;
}

}  // namespace

BlockedActivations::BlockedActivations(const RowMap& map, Index channels, Form form,
                                       Index tile_rows)
    : Activations(map, channels, form),
      tile_rows_(tile_rows),
      blocks_(blocks_for(channels, form)),
      rows_(rows_for(map)),
      data_(blocks_ * rows_ * kBlock) {}

BlockedActivations::BlockedActivations(const Selection& selection, Index channels, Form form,
                                       Index tile_rows)
    : Activations(selection, channels, form),
      tile_rows_(tile_rows),
      blocks_(blocks_for(channels, form)),
      rows_(selection.source.tokens() + kMostRows),
      data_(blocks_ * rows_ * kBlock) {}

void BlockedActivations::reshape(const RowMap& map) {
  assert(selection() == nullptr && map.context == this->map().context);
  assert(blocks_ * rows_for(map) * kBlock <= data_.size());
  set_map(map);
  rows_ = rows_for(map);
  laid_out_ = -1;
  // Whatever a product may read without having been written.
  for (Index block = 0; block < blocks_; ++block) {
    float* rows = data_.data() + block * rows_ * kBlock;
    for (Index sequence = 0; sequence <= map.sequences; ++sequence) {
      std::fill_n(rows + sequence * pitch() * kBlock, map.context * kBlock, 0.0F);
    }
    std::fill_n(rows + (rows_ - kMostRows) * kBlock, kMostRows * kBlock, 0.0F);
  }
}

void BlockedActivations::lay_out() const {
  const Index now = selection() != nullptr ? tokens() : map().sequences;
  if (laid_out_ == now) return;
  laid_out_ = now;
  const Index rows = span();
  token_of_.resize(static_cast<std::size_t>(rows));
  for (Index row = 0; row < rows; ++row) {
    const bool context = selection() == nullptr && row % pitch() >= map().time;
    const Index token = selection() != nullptr ? row : row / pitch() * map().time + row % pitch();
    token_of_[static_cast<std::size_t>(row)] = context ? -1 : static_cast<std::int32_t>(token);
  }
  const auto is_token = [&](Index row) { return token_of_[static_cast<std::size_t>(row)] >= 0; };
  tiles_.clear();
  for (Index row = 0; row < rows;) {
    if (!is_token(row)) {
      ++row;
      continue;
    }
    Index end = std::min(row + tile_rows_, rows);
    while (!is_token(end - 1)) --end;
    tiles_.push_back({row, end - row});
    row = end;
  }
}

const std::vector<std::int32_t>& BlockedActivations::token_of() const {
  lay_out();
  return token_of_;
}

const std::vector<Tile>& BlockedActivations::tiles() const {
  lay_out();
  return tiles_;
}

Position BlockedActivations::position(Index row) const {
  if (selection() == nullptr) return {row / pitch(), row % pitch()};
  return position_of(selection()->source, selection()->tokens[static_cast<std::size_t>(row)]);
}

float& BlockedActivations::value(Index row, Index channel) const {
  Index block = channel / kBlock;
  if (paired) {
    const Index half_width = channels() / 2, half = channel / half_width;
    channel %= half_width;
    block = 2 * (channel / kBlock) + half;
  }
  return at(block, row)[channel % kBlock];
}

}  // namespace sluice::kernels::simd
