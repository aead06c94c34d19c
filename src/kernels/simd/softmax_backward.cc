// Gradients of the softmax, group by group of words.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "src/kernels/gain.h"
#include "src/kernels/simd/resolved_junction.h"
#include "src/kernels/simd/simd_backend.h"
#include "src/kernels/simd/softmax_tape.h"

namespace sluice::kernels::simd {
namespace {

constexpr Index kTileGroup = 5;  // tiles whose dx stays in cache over the whole vocabulary

// Makes e dL/dlogits = softmax - one-hot. The target's p - 1 comes from the logit: as a difference
// of nearly equal numbers it would lose what remains to be learnt. factors: memory for one a row.
void logit_gradient(const Kernels& kernels, const BlockTape& tape, std::size_t number,
                    const WordGroup& group, const BlockedActivations& x,
                    std::span<const int> targets, const Tile& rows) {
  const std::vector<std::int32_t>& token_of = x.token_of();
  const auto target_of = [&](Index r) {
    const std::int32_t token = token_of[static_cast<std::size_t>(rows.row + r)];
    return token < 0 ? -1 : targets[static_cast<std::size_t>(token)];
  };
  float factors[kGradientRows];
  for (Index r = 0; r < rows.rows; ++r) {
    factors[r] = target_of(r) < 0 ? 0 : tape.sums.panel_factor(number, rows.row + r);
  }
  for (Index i = 0; i < group.squares; ++i) {
    kernels.scale_rows(tape.at(group.first_block + i, rows.row), rows.rows, factors);
  }
  for (Index r = 0; r < rows.rows; ++r) {
    const Index place = group.place_of(target_of(r));
    if (place < 0) continue;
    tape.at(group.first_block + place / kBlock, rows.row + r)[place % kBlock] =
        static_cast<float>(std::expm1(tape.sums.target_log_probability(rows.row + r)));
  }
}

// Adds the bias gradient; then, under weight norm, folds the scales in.
void finish_logit_gradient(const Kernels& kernels, const BlockTape& tape, const WordGroup& group,
                           const Tile& rows) {
  const TableWeights& w = *group.table;
  if (w.b() == nullptr && w.g() == nullptr) return;
  for (Index i = 0; i < group.squares; ++i) {
    float* block = tape.at(group.first_block + i, rows.row);
    float sums[kBlock] = {};
    kernels.add_columns(block, rows.rows, sums);
    float scale[kBlock] = {};
    for (Index lane = 0; lane < kBlock; ++lane) {
      const Index row = (group.first_square + i) * kBlock + lane;
      if (row < group.begin() || row >= group.end()) continue;
      if (w.b() != nullptr) {
        float& db = (*w.b())[Array::kGradient][row];
        db = (w.has_bias_gradient || rows.row > 0 ? db : 0) + sums[lane];
      }
      if (w.g() != nullptr) scale[lane] = w.scale[static_cast<std::size_t>(row)];
    }
    if (w.g() == nullptr) continue;
    for (Index r = 0; r < rows.rows; ++r) {
      for (Index lane = 0; lane < kBlock; ++lane) block[r * kBlock + lane] *= scale[lane];
    }
  }
}

// A square pair of the weight gradient where not all of it is the group's to write: rows of other
// words, or a second square beyond the width.
void partial_gradient(const Kernels& kernels, const WordGroup& group, GradientTile tile,
                      Index square, Index block, bool add) {
  const TableWeights& w = *group.table;
  alignas(64) float pair[kPair];
  tile.out = pair;
  tile.add = false;
  kernels.gradient(tile);
  for (Index half = 0; half < 2 && block + half < w.width_blocks; ++half) {
    for (Index lane = 0; lane < kBlock; ++lane) {
      const Index row = square * kBlock + lane;
      if (row < group.begin() || row >= group.end()) continue;
      float* to = w.v()[Array::kGradient] + w.element(row, (block + half) * kBlock);
      const float* from = pair + half * kSquare + lane * kBlock;
      for (Index c = 0; c < kBlock; ++c) to[c] = add ? to[c] + from[c] : from[c];
    }
  }
}

// dw' . v and the gain's gradient, as of products in weights.h.
void gain_gradient(const Kernels& kernels, const WordGroup& group) {
  TableWeights& w = *group.table;
  for (Index row = group.begin(); row < group.end(); ++row) {
    double sums[kBlock] = {}, dot = 0;
    for (Index block = 0; block < w.width_blocks; ++block) {
      const Index at = w.element(row, block * kBlock);
      kernels.add_dots(w.v()[Array::kGradient] + at, w.v()[Array::kValue] + at, kBlock, sums);
    }
    for (const double sum : sums) dot += sum;
    w.dot[static_cast<std::size_t>(row)] = dot;
    const double gain = static_cast<double>(floored((*w.g())[Array::kValue][row]));
    (*w.g())[Array::kGradient][row] = static_cast<float>(dot / gain);
  }
}

}  // namespace

void SimdBackend::word_gradient(const BlockTape& tape, const WordGroup& group,
                                const BlockedActivations& x, const Tile& rows, bool add,
                                float* /*memory*/) const {
  const TableWeights& w = *group.table;
  for (Index s = 0; s < group.squares; ++s) {
    const Index square = group.first_square + s;
    for (Index block = 0; block < w.width_blocks; block += 2) {
      const bool last = block + 1 == w.width_blocks;
      const GradientTile tile = {
          .x = tape.at(group.first_block + s, rows.row),
          .y = {x.at(block, rows.row), x.at(last ? block : block + 1, rows.row)},
          .rows = rows.rows,
          .out = w.v()[Array::kGradient] + w.element(square * kBlock, block * kBlock),
          .add = add};
      if (group.has_all_of(square) && !last) {
        kernels_.gradient(tile);
      } else {
        partial_gradient(kernels_, group, tile, square, block, add);
      }
    }
  }
}

void SimdBackend::softmax_backward(SoftmaxTape& keep, const Activations& x,
                                   std::span<const int> targets, std::span<const TableRows> words,
                                   Junction& below, Into into) {
  auto& tape = static_cast<BlockTape&>(keep);
  const BlockedActivations& in = blocked(x);
  const std::vector<WordGroup> groups = word_groups(words, kMostSquares);
  std::vector<std::uint8_t> adds(groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    TableWeights& w = *groups[i].table;
    adds[i] = w.ledger.touch(groups[i].begin(), groups[i].end(), [&](Index row) {
      for (Index block = 0; block < w.width_blocks; ++block) {
        std::fill_n(w.v()[Array::kGradient] + w.element(row, block * kBlock), kBlock, 0.0F);
      }
    });
    w.has_gradient = true;
  }
  assert(in.span() > 0);  // else nobody would write the gradient
  in.token_of();          // laid out here, not by several threads at once
  take_hidden_gradient(in);
  reserve_workers(word_gradient_memory());
  const Chunks rows = {in.span(), kGradientRows};
  pool_.run(static_cast<Index>(groups.size()), [&](Index chunk, int worker) {
    const auto i = static_cast<std::size_t>(chunk);
    for (Index part = 0; part < rows.count(); ++part) {
      const Tile tile = {rows.begin(part), rows.length(part)};
      logit_gradient(kernels_, tape, i, groups[i], in, targets, tile);
      finish_logit_gradient(kernels_, tape, groups[i], tile);
      word_gradient(tape, groups[i], in, tile, adds[i] != 0 || part > 0, worker_memory(worker));
    }
    if (groups[i].table->g() != nullptr) gain_gradient(kernels_, groups[i]);
  });
  for (const TableRows& part : words) part.table->has_bias_gradient = part.table->b() != nullptr;
  backward_data(tape, in, groups, below, into);
}

// dx = dL/dlogits W: a few tiles at a time, whose sums stay in cache while the vocabulary passes.
void SimdBackend::backward_data(const BlockTape& tape, const BlockedActivations& x,
                                std::span<const WordGroup> groups, Junction& below, Into into) {
  const std::vector<Tile>& tiles = x.tiles();
  const auto count = static_cast<Index>(tiles.size());
  const Chunks tile_groups = {count, std::clamp<Index>(count / 16, 1, kTileGroup)};
  const Index width_blocks = groups.front().table->width_blocks, panels = (width_blocks + 1) / 2;
  const Index per_panel = tile_groups.size * kMostRows * kPanel;
  pack_word_rows(groups);
  reserve_workers(panels * per_panel);
  GradientReader reader(below, into, x, pool_);
  reader.prepare(tile_groups.count());
  pool_.run(tile_groups.count(), [&](Index chunk, int worker) {
    float* sums = worker_memory(worker);
    const Index first = tile_groups.begin(chunk), end = tile_groups.end(chunk);
    const std::span<const Tile> part(tiles.data() + first, static_cast<std::size_t>(end - first));
    for (const WordGroup& group : groups) {
      hidden_products(tape, group, &group == &groups.front(), part, sums, per_panel);
    }
    for (Index panel = 0; panel < panels; ++panel) {
      for (Index i = first; i < end; ++i) {
        reader.take(kernels_, chunk, panel, tiles[static_cast<std::size_t>(i)],
                    sums + panel * per_panel + (i - first) * kMostRows * kPanel);
      }
    }
  });
  reader.finish();
}

void SimdBackend::hidden_products(const BlockTape& tape, const WordGroup& group, bool first,
                                  std::span<const Tile> tiles, float* sums, Index per_panel) const {
  const TableWeights& w = *group.table;
  for (Index panel = 0; panel < (w.width_blocks + 1) / 2; ++panel) {
    float* out = sums + panel * per_panel;
    for (const Tile& tile : tiles) {
      kernels_.product(
          {.a = tape.at(group.first_block, tile.row),
           .a_chunk = tape.pitch,
           .a_tap = 0,
           .b = w.v()[Array::kValue] + w.element(group.first_square * kBlock, panel * kPanel),
           .b_chunk = w.row_size(),
           .chunks = group.squares,
           .taps = 1,
           .rows = tile.rows,
           .out = out,
           .add = !first});
      out += kMostRows * kPanel;
    }
  }
}

}  // namespace sluice::kernels::simd
