#pragma once

#include <memory>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/kernels/activations.h"
#include "src/kernels/position.h"
#include "src/kernels/simd/kernels.h"

// Where the simd backend keeps activations. [blocks of 16 channels][rows][16]: a tap of a causal
// convolution is then an offset of whole cache lines, and nothing is unfolded. Channels are padded
// to whole blocks; what stands there is zero, or never read.
namespace sluice::kernels::simd {

inline Index blocks_of(Index channels) { return (channels + kBlock - 1) / kBlock; }

// Consecutive rows that one pass of a product makes.
struct Tile {
  Index row, rows;
};

// Activations of form kProduct that a paired gate closed hold the blocks a, b, a, b, ...: `paired`
// says so. Saved pairs lie likewise.
class BlockedActivations : public Activations {
 public:
  BlockedActivations(const RowMap& map, Index channels, Form form, Index tile_rows);
  BlockedActivations(const Selection& selection, Index channels, Form form, Index tile_rows);
  void reshape(const RowMap& map);

  Index pitch() const { return map().context + map().time; }  // rows of one sequence
  // Rows from the first token of the first sequence to the last token of the last one, context in
  // between included. Row numbers count from there; of a selection they are its tokens.
  Index span() const {
    return selection() != nullptr ? tokens() : map().sequences * pitch() - map().context;
  }
  Index blocks() const { return blocks_; }
  // Those that hold something; the rest is room for the padding of a paired product.
  Index used_blocks() const {
    return paired ? 2 * blocks_of(channels() / 2) : blocks_of(channels());
  }
  // Row r is token token_of()[r]; -1: context.
  const std::vector<std::int32_t>& token_of() const;
  // The rows of all tokens, cut into tiles that begin and end with one.
  const std::vector<Tile>& tiles() const;
  Position position(Index row) const;
  Index row_of(Position at) const { return at.sequence * pitch() + at.t; }
  // Whether each sequence is one token long.
  bool is_single_tokens() const {
    return (selection() != nullptr ? selection()->source : map()).time == 1;
  }

  Rows rows() const { return {data_.data() + map().context * kBlock, rows_ * kBlock}; }
  float* at(Index block, Index row) const { return rows().at(block, row); }
  // Of a logical channel.
  float& value(Index row, Index channel) const;

  bool paired = false;

 private:
  void lay_out() const;

  Index tile_rows_;
  Index blocks_;
  Index rows_;  // of a block, padding included
  AlignedBuffer data_;
  // What follows from the map, or from how many tokens a selection has now.
  mutable std::vector<std::int32_t> token_of_;
  mutable std::vector<Tile> tiles_;
  mutable Index laid_out_ = -1;
};

inline BlockedActivations& blocked(Activations& x) { return static_cast<BlockedActivations&>(x); }
inline const BlockedActivations& blocked(const Activations& x) {
  return static_cast<const BlockedActivations&>(x);
}

}  // namespace sluice::kernels::simd
