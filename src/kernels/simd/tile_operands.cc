#include "src/kernels/simd/tile_operands.h"

#include <algorithm>
#include <cassert>

#include "src/kernels/simd/scratch.h"

namespace sluice::kernels::simd {
namespace {

constexpr Index kRowChunk = 256;  // rows of a chunk of conversions, whole steps

// Copies rows of a block of which only those of [begin, end) count; the others become zero.
void copy_rows(const BlockedActivations& x, Index block, Index first, Index rows, Index begin,
               Index end, float* out) {
  for (Index r = 0; r < rows; ++r) {
    const Index row = first + r;
    if (row >= begin && row < end) {
      std::copy_n(x.at(block, row), kBlock, out + r * kBlock);
    } else {
      std::fill_n(out + r * kBlock, kBlock, 0.0F);
    }
  }
}

}  // namespace

void TileMemory::resize(Index numbers, int parts) {
  numbers_ = (numbers + kLine - 1) / kLine * kLine;
  const Index floats = numbers_ * parts / 2;
  grown(memory_, floats);
}

void ActivationLines::take(const BlockedActivations& x, Index blocks, const Kernels& kernels,
                           ThreadPool& pool, int parts) {
  lead_ = x.selection() != nullptr ? 0 : x.map().context;
  // As many as there are in memory, and of a tile at the end as many as a product reads.
  const Chunks rows = {x.span() + 2 * lead_ + kMostRows, kRowChunk};
  // Lines of channels a multiple of 4 KB apart would share the ways of the first cache.
  constexpr Index kPage = 64, kApart = 37;
  pitch_ = ((rows.total - kApart + kPage - 1) / kPage * kPage + kApart) * kLine;
  memory_.resize(lines_of(blocks) * pitch_, parts);
  pool.run(lines_of(blocks) * rows.count(), [&](Index chunk, int) {
    const Index line = chunk / rows.count(), part = chunk % rows.count();
    const Index row = rows.begin(part) - lead_;
    const bool odd = 2 * line + 1 == blocks;
    Bfloat16* to = memory_.data() + line * pitch_ + rows.begin(part) * kLine;
    each_part(parts, low(), [&](Part which, Index offset) {
      kernels.narrow.lines(x.at(2 * line, row), odd ? nullptr : x.at(2 * line + 1, row),
                           rows.length(part), which, to + offset);
    });
  });
}

void take_columns(const float* block, Index rows, const Kernels& kernels, int parts, Index low,
                  Bfloat16* out) {
  const Index whole = rows / kLine, rest = rows % kLine;
  alignas(64) float last[kLine * kBlock] = {};
  std::copy_n(block + whole * kTile, rest * kBlock, last);
  each_part(parts, low, [&](Part which, Index offset) {
    kernels.narrow.transposed(block, whole, which, out + offset);
    if (rest > 0) kernels.narrow.transposed(last, 1, which, out + offset + whole * kTile);
  });
}

void ActivationColumns::take(const BlockedActivations& x, Index lead, const Kernels& kernels,
                             ThreadPool& pool, int parts) {
  const Chunks rows = {x.span() + lead, kRowChunk};
  steps_ = (rows.total + kLine - 1) / kLine;
  const Index blocks = blocks_of(x.channels());
  memory_.resize(blocks * steps_ * kTile, parts);
  pool.run(blocks * rows.count(), [&](Index chunk, int) {
    const Index block = chunk / rows.count(), part = chunk % rows.count();
    take_columns(x.at(block, rows.begin(part) - lead), rows.length(part), kernels, parts, low(),
                 memory_.data() + (block * steps_ + rows.begin(part) / kLine) * kTile);
  });
}

void ActivationPairs::take(const BlockedActivations& x, Index blocks, Index lead, Index steps,
                           Index reach, const Kernels& kernels, ThreadPool& pool, int parts) {
  pairs_ = steps * (kLine / 2) + reach / 2 + 1;
  phase_ = blocks * pairs_ * kLine;
  const Index phases = reach > 0 ? 2 : 1;
  memory_.resize(phases * phase_, parts);
  const Chunks pairs = {pairs_, kRowChunk / 2};
  pool.run(phases * blocks * pairs.count(), [&](Index chunk, int) {
    const Index phase = chunk / (blocks * pairs.count());
    const Index block = chunk / pairs.count() % blocks, part = chunk % pairs.count();
    const Index first = 2 * pairs.begin(part) + phase - lead, rows = 2 * pairs.length(part);
    Bfloat16* to = memory_.data() + phase * phase_ + (block * pairs_ + pairs.begin(part)) * kLine;
    alignas(64) float edge[kRowChunk * kBlock];
    const bool inside = first >= 0 && first + rows <= x.span();
    if (!inside) copy_rows(x, block, first, rows, 0, x.span(), edge);
    const float* from = inside ? x.at(block, first) : edge;
    each_part(parts, low(), [&](Part which, Index offset) {
      kernels.narrow.row_pairs(from, rows / 2, which, to + offset);
    });
  });
}

TileWeights::TileWeights(const ConvShape& conv, const Slices& values, const Slices* gains,
                         const Slices* bias, int part_count)
    : ProductWeights(conv, values, gains, bias), parts(part_count) {}

void TileWeights::reserve() {
  forward.resize(forward_offset(panels), parts);
  if (trains()) backward.resize(backward_offset(lines_of(input_blocks)), parts);
}

void TileWeights::pack(const Kernels& kernels, Index panel, const float* values) const {
  assert(forward.data() != nullptr);  // reserve() comes with the first refresh()
  for (Index line = 0; line < lines_of(input_blocks); ++line) {
    for (Index tap = 0; tap < shape.taps; ++tap) {
      pack_forward(kernels, panel, line, tap, values);
      if (trains()) pack_backward(kernels, panel, line, tap, values);
    }
  }
}

void TileWeights::pack_forward(const Kernels& kernels, Index panel, Index line, Index tap,
                               const float* values) const {
  Bfloat16* to = forward.data() + forward_offset(panel) + (line * shape.taps + tap) * kTilePair;
  each_part(parts, forward.low(), [&](Part which, Index part) {
    for (Index half = 0; half < 2; ++half) {
      for (Index i = 0; i < 2; ++i) {
        const Index block = 2 * line + i;
        Bfloat16* tile = to + part + half * kTile + i * kTile / 2;
        if (block == input_blocks) {
          std::fill_n(tile, kTile / 2, Bfloat16{0});
          continue;
        }
        kernels.narrow.row_pairs(values + (block * shape.taps + tap) * kPair + half * kSquare,
                                 kBlock / 2, which, tile);
      }
    }
  });
}

void TileWeights::pack_backward(const Kernels& kernels, Index panel, Index line, Index tap,
                                const float* values) const {
  Bfloat16* to = backward.data() + backward_offset(line) +
                 (panel * shape.taps + shape.taps - 1 - tap) * kTilePair;
  each_part(parts, backward.low(), [&](Part which, Index part) {
    for (Index i = 0; i < 2; ++i) {
      const Index block = 2 * line + i;
      Bfloat16* tile = to + part + i * kTile;
      if (block == input_blocks) {
        std::fill_n(tile, kTile, Bfloat16{0});
        continue;
      }
      for (Index half = 0; half < 2; ++half) {
        kernels.narrow.column_pairs(values + (block * shape.taps + tap) * kPair + half * kSquare,
                                    which, tile + half * kTile / 2);
      }
    }
  });
}

}  // namespace sluice::kernels::simd
