// The products of the softmax on tiles.
#include <algorithm>

#include "src/kernels/simd/softmax_tape.h"
#include "src/kernels/simd/tile_backend.h"
#include "src/kernels/simd/tile_session.h"

namespace sluice::kernels::simd {
namespace {

constexpr Index kGradientSteps = 8;  // steps of rows whose operands stay in cache for a group

// Lines of words that a group takes in the tape and in packed words.
Index first_line(const WordGroup& group) { return group.first_block / 2; }

// Whether all rows of a square are words of the group.
bool is_whole(const WordGroup& group, Index square) {
  return square * kBlock >= group.begin() && (square + 1) * kBlock <= group.end();
}

// The rows of a square of gradients that are the group's.
void copy_words(const WordGroup& group, Index square, Index block, const float* from, bool add) {
  const TableWeights& w = *group.table;
  const Index begin = std::max(group.begin(), square * kBlock);
  const Index end = std::min(group.end(), (square + 1) * kBlock);
  for (Index row = begin; row < end; ++row) {
    float* to = w.v()[Array::kGradient] + w.element(row, block * kBlock);
    const float* values = from + row % kBlock * kBlock;
    for (Index c = 0; c < kBlock; ++c) to[c] = add ? to[c] + values[c] : values[c];
  }
}

}  // namespace

void TileBackend::take_hidden(const BlockedActivations& x) {
  lines_.take(x, blocks_of(x.channels()), kernels_, pool_, parts_);
}

Index TileBackend::word_memory(const TableWeights& w) const {
  return kMostSquares / 2 * lines_of(w.width_blocks) * kTilePair * parts_ / 2;
}

// Words as columns: [panels][lines of the width][2][tile].
void TileBackend::pack_words(const WordGroup& group, float* packed) const {
  const TableWeights& w = *group.table;
  const Index lines = lines_of(w.width_blocks), low = word_memory(w) * 2 / parts_;
  auto* out = reinterpret_cast<Bfloat16*>(packed);
  for (Index square = 0; square < 2 * group.panels(); ++square) {
    for (Index block = 0; block < 2 * lines; ++block) {
      Bfloat16* to = out + (square / 2 * lines + block / 2) * kTilePair + square % 2 * kTile +
                     block % 2 * kTile / 2;
      each_part(parts_, low, [&](Part which, Index part) {
        if (square == group.squares || block == w.width_blocks) {
          std::fill_n(to + part, kTile / 2, Bfloat16{0});
          return;
        }
        kernels_.narrow.column_pairs(
            w.v()[Array::kValue] + w.element((group.first_square + square) * kBlock, block * kBlock),
            which, to + part);
      });
    }
  }
}

void TileBackend::word_products(const WordGroup& group, const float* packed,
                                const BlockedActivations& /*x*/, const Tile& tile,
                                float* z) const {
  const TableWeights& w = *group.table;
  const Index lines = lines_of(w.width_blocks), low = word_memory(w) * 2 / parts_;
  const TileSession session(tiles_);
  for (Index panel = 0; panel < group.panels(); ++panel) {
    multiply({.a = lines_.at(0, tile.row),
              .a_chunk = lines_.pitch(),
              .a_tap = 0,
              .b = reinterpret_cast<const Bfloat16*>(packed) + panel * lines * kTilePair,
              .b_chunk = kTilePair,
              .chunks = lines,
              .taps = 1,
              .rows = tile.rows,
              .out = z + panel * kMostRows * kPanel,
              .add = false,
              .aside = {}},
             lines_.low(), low);
  }
}

void TileBackend::take_hidden_gradient(const BlockedActivations& x) {
  pairs_.take(x, blocks_of(x.channels()), 0, (x.span() + kLine - 1) / kLine, 0, kernels_, pool_,
              parts_);
}

Index TileBackend::word_gradient_memory() const {
  return kMostSquares * kGradientSteps * kTile * parts_ / 2;
}

void TileBackend::word_gradient(const BlockTape& tape, const WordGroup& group,
                                const BlockedActivations& x, bool adds, float* memory) const {
  const TableWeights& w = *group.table;
  auto* columns = reinterpret_cast<Bfloat16*>(memory);  // [squares][steps][tile]
  constexpr Index kSquareColumns = kGradientSteps * kTile, kLow = kMostSquares * kSquareColumns;
  const Chunks rows = {x.span(), kGradientSteps * kLine};
  const TileSession session(tiles_);
  for (Index i = 0; i < rows.count(); ++i) {
    for (Index s = 0; s < group.squares; ++s) {
      take_columns(tape.block(group.first_block + s) + rows.begin(i) * kBlock, rows.length(i),
                   kernels_, parts_, kLow, columns + s * kSquareColumns);
    }
    for (Index s = 0; s < group.squares; s += 2) {
      for (Index block = 0; block < w.width_blocks; block += 2) {
        const Bfloat16* left = columns + s * kSquareColumns;
        const Index second = std::min(block + 1, w.width_blocks - 1);
        word_squares({.x = {left, left + kSquareColumns},
                      .y = {pairs_.at(block, i * kGradientSteps, 0),
                            pairs_.at(second, i * kGradientSteps, 0)},
                      .steps = (rows.length(i) + kLine - 1) / kLine,
                      .out = {},
                      .add = adds || i > 0},
                     kLow, group, s, block);
      }
    }
  }
}

// Two by two squares of a table's gradient, from square s of the group and the given block on, as
// far as they are there and theirs.
void TileBackend::word_squares(TileGradient tile, Index x_low, const WordGroup& group, Index s,
                               Index block) const {
  const TableWeights& w = *group.table;
  const Index down = std::min<Index>(2, group.squares - s);
  const Index across = std::min<Index>(2, w.width_blocks - block);
  const Index square = group.first_square + s;
  bool whole = true;
  for (Index m = 0; m < down; ++m) whole = whole && is_whole(group, square + m);
  const bool add = tile.add;
  tile.add = whole && add;
  if (down < 2) tile.x[1] = tile.x[0];
  alignas(64) float partial[4 * kSquare];
  for (Index m = 0; m < down; ++m) {
    for (Index n = 0; n < across; ++n) {
      tile.out[m][n] = whole ? w.v()[Array::kGradient] +
                                   w.element((square + m) * kBlock, (block + n) * kBlock)
                             : partial + (2 * m + n) * kSquare;
    }
  }
  multiply(tile, x_low, pairs_.low());
  for (Index m = 0; m < down && !whole; ++m) {
    for (Index n = 0; n < across; ++n) {
      copy_words(group, square + m, block + n, tile.out[m][n], add);
    }
  }
}

// Words as rows: [panels of the width][lines of words][2][tile].
void TileBackend::pack_word_rows(std::span<const WordGroup> groups) {
  const Index panels = lines_of(groups.front().table->width_blocks);
  word_lines_ = first_line(groups.back()) + groups.back().panels();
  word_rows_.resize(panels * word_lines_ * kTilePair, parts_);
  pool_.run(static_cast<Index>(groups.size()), [&](Index chunk, int) {
    const WordGroup& group = groups[static_cast<std::size_t>(chunk)];
    const TableWeights& w = *group.table;
    for (Index square = 0; square < 2 * group.panels(); ++square) {
      for (Index block = 0; block < 2 * panels; ++block) {
        const Index line = first_line(group) + square / 2;
        Bfloat16* to = word_rows_.data() + (block / 2 * word_lines_ + line) * kTilePair +
                       block % 2 * kTile + square % 2 * kTile / 2;
        each_part(parts_, word_rows_.low(), [&](Part which, Index part) {
          if (square == group.squares || block == w.width_blocks) {
            std::fill_n(to + part, kTile / 2, Bfloat16{0});
            return;
          }
          const Index row = (group.first_square + square) * kBlock;
          kernels_.narrow.row_pairs(w.v()[Array::kValue] + w.element(row, block * kBlock),
                                    kBlock / 2, which, to + part);
        });
      }
    }
  });
}

void TileBackend::hidden_products(const BlockTape& tape, const WordGroup& group, bool first,
                                  std::span<const Tile> tiles, float* sums,
                                  Index per_panel) const {
  constexpr Index kLow = kMostSquares / 2 * kMostRows * kLine;
  alignas(64) Bfloat16 lines[2 * kLow];  // of one tile: [lines of words][rows][32], in parts
  const TileSession session(tiles_);
  for (std::size_t i = 0; i < tiles.size(); ++i) {
    const Tile& tile = tiles[i];
    for (Index line = 0; line < group.panels(); ++line) {
      const float* low = tape.block(group.first_block + 2 * line) + tile.row * kBlock;
      const float* high = 2 * line + 1 == group.squares ? nullptr : low + tape.pitch;
      each_part(parts_, kLow, [&](Part which, Index part) {
        kernels_.narrow.lines(low, high, kMostRows, which, lines + part + line * kMostRows * kLine);
      });
    }
    for (Index panel = 0; panel < lines_of(group.table->width_blocks); ++panel) {
      multiply({.a = lines,
                .a_chunk = kMostRows * kLine,
                .a_tap = 0,
                .b = word_rows_.data() +
                     (panel * word_lines_ + first_line(group)) * kTilePair,
                .b_chunk = kTilePair,
                .chunks = group.panels(),
                .taps = 1,
                .rows = tile.rows,
                .out = sums + panel * per_panel + static_cast<Index>(i) * kMostRows * kPanel,
                .add = !first,
                .aside = {}},
               kLow, word_rows_.low());
    }
  }
}

}  // namespace sluice::kernels::simd
