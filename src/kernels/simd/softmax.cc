// Softmax over the vocabulary in groups of words: their logits for one tile of rows, maxima and
// exponentials while these are in cache, then log-sum-exp over the groups. exp is computed once;
// backward rescales it.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "src/kernels/simd/resolved_junction.h"
#include "src/kernels/simd/simd_backend.h"
#include "src/kernels/simd/softmax_tape.h"
#include "src/kernels/simd/word_dots.h"

namespace sluice::kernels::simd {
namespace {

constexpr Index kMostSquares = 32;    // of a group: its weights and logits fit the second cache
constexpr Index kGradientRows = 128;  // rows that stay in cache for a group's weight gradients
constexpr Index kTileGroup = 5;       // tiles whose dx stays in cache over the whole vocabulary
constexpr float kNoWord = -std::numeric_limits<float>::infinity();

// Rows x panels of logits of a group, as Kernels::exponentials reads them.
constexpr Index kLogits = kMostSquares / 2 * kMostRows * kPanel;

// What the logits of a group's words are scaled by and shifted to.
struct WordTerms {
  explicit WordTerms(const WordGroup& group) : normed(group.table->g() != nullptr) {
    const TableWeights& w = *group.table;
    biased = w.b() != nullptr;
    if (plain()) return;
    for (Index row = group.begin(); row < group.end(); ++row) {
      const Index at = row - group.first_square * kBlock;
      if (normed) scales[at] = w.scale[static_cast<std::size_t>(row)];
      if (biased) biases[at] = (*w.b())[Array::kValue][row];
    }
  }
  bool plain() const { return !normed && !biased; }
  bool normed, biased = false;
  alignas(64) float scales[kMostSquares * kBlock] = {};
  alignas(64) float biases[kMostSquares * kBlock] = {};
};

// The group's weights with words as columns: [panels][width blocks][2][16][16 words].
void transpose_words(const Kernels& kernels, const WordGroup& group, float* out) {
  const TableWeights& w = *group.table;
  for (Index square = 0; square < 2 * group.panels(); ++square) {
    for (Index block = 0; block < w.width_blocks; ++block) {
      float* to = out + (square / 2 * w.width_blocks + block) * kPair + square % 2 * kSquare;
      if (square == group.squares) {
        std::fill_n(to, kSquare, 0.0F);
        continue;
      }
      kernels.transpose(
          w.v()[Array::kValue] + w.element((group.first_square + square) * kBlock, block * kBlock),
          to);
    }
  }
}

// Columns of the first and last squares that are other words of the table, or none.
void mask_words(const WordGroup& group, Index rows, float* z) {
  const auto mask = [&](Index begin, Index end) {
    for (Index column = begin; column < end; ++column) {
      float* at = z + column / kPanel * kMostRows * kPanel + column % kPanel;
      for (Index r = 0; r < rows; ++r) at[r * kPanel] = kNoWord;
    }
  };
  const Index first = group.first_square * kBlock;
  mask(0, group.begin() - first);
  mask(group.end() - first, group.panels() * kPanel);
}

void tile_logits(const Kernels& kernels, const WordGroup& group, const WordTerms& terms,
                 const float* words, const BlockedActivations& x, const Tile& tile, float* z) {
  const Index width_blocks = group.table->width_blocks;
  for (Index panel = 0; panel < group.panels(); ++panel) {
    float* out = z + panel * kMostRows * kPanel;
    kernels.product({.a = x.at(0, tile.row),
                     .a_chunk = x.rows().pitch,
                     .a_tap = 0,
                     .b = words + panel * width_blocks * kPair,
                     .b_chunk = kPair,
                     .chunks = width_blocks,
                     .taps = 1,
                     .rows = tile.rows,
                     .out = out,
                     .add = false});
    if (terms.plain()) continue;
    kernels.shift_logits(out, tile.rows, terms.normed ? terms.scales + panel * kPanel : nullptr,
                         terms.biased ? terms.biases + panel * kPanel : nullptr);
  }
  mask_words(group, tile.rows, z);
}

// Makes e dL/dlogits = softmax - one-hot. The target's p - 1 comes from the logit: as a difference
// of nearly equal numbers it would lose what remains to be learnt. factors: memory for one a row.
void logit_gradient(const Kernels& kernels, const BlockTape& tape, std::size_t number,
                    const WordGroup& group, const BlockedActivations& x,
                    std::span<const int> targets, float* factors) {
  const Index rows = x.span();
  const std::vector<std::int32_t>& token_of = x.token_of();
  const auto target_of = [&](Index row) {
    const std::int32_t token = token_of[static_cast<std::size_t>(row)];
    return token < 0 ? -1 : targets[static_cast<std::size_t>(token)];
  };
  for (Index row = 0; row < rows; ++row) {
    factors[row] = target_of(row) < 0 ? 0 : tape.sums.panel_factor(number, row);
  }
  for (Index i = 0; i < group.squares; ++i) {
    kernels.scale_rows(tape.block(group.first_block + i), rows, factors);
  }
  for (Index row = 0; row < rows; ++row) {
    const Index place = group.place_of(target_of(row));
    if (place < 0) continue;
    tape.block(group.first_block + place / kBlock)[row * kBlock + place % kBlock] =
        static_cast<float>(std::expm1(tape.sums.target_log_probability(row)));
  }
}

// Adds the bias gradient; then, under weight norm, folds the scales in.
void finish_logit_gradient(const Kernels& kernels, const BlockTape& tape, const WordGroup& group,
                           Index rows) {
  const TableWeights& w = *group.table;
  if (w.b() == nullptr && w.g() == nullptr) return;
  for (Index i = 0; i < group.squares; ++i) {
    float* block = tape.block(group.first_block + i);
    float sums[kBlock] = {};
    kernels.add_columns(block, rows, sums);
    float scale[kBlock] = {};
    for (Index lane = 0; lane < kBlock; ++lane) {
      const Index row = (group.first_square + i) * kBlock + lane;
      if (row < group.begin() || row >= group.end()) continue;
      if (w.b() != nullptr) {
        float& db = (*w.b())[Array::kGradient][row];
        db = (w.has_bias_gradient ? db : 0) + sums[lane];
      }
      if (w.g() != nullptr) scale[lane] = w.scale[static_cast<std::size_t>(row)];
    }
    if (w.g() == nullptr) continue;
    for (Index r = 0; r < rows; ++r) {
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

void word_gradient(const Kernels& kernels, const BlockTape& tape, const WordGroup& group,
                   const BlockedActivations& x, bool adds) {
  const TableWeights& w = *group.table;
  const Chunks rows = {x.span(), kGradientRows};
  for (Index i = 0; i < rows.count(); ++i) {
    const Index first = rows.begin(i);
    for (Index s = 0; s < group.squares; ++s) {
      const Index square = group.first_square + s;
      const bool whole = square * kBlock >= group.begin() && (square + 1) * kBlock <= group.end();
      for (Index block = 0; block < w.width_blocks; block += 2) {
        const bool last = block + 1 == w.width_blocks;
        const GradientTile tile = {
            .x = tape.block(group.first_block + s) + first * kBlock,
            .y = {x.at(block, first), x.at(last ? block : block + 1, first)},
            .rows = rows.length(i),
            .out = w.v()[Array::kGradient] + w.element(square * kBlock, block * kBlock),
            .add = adds || i > 0};
        if (whole && !last) {
          kernels.gradient(tile);
        } else {
          partial_gradient(kernels, group, tile, square, block, tile.add);
        }
      }
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

std::unique_ptr<SoftmaxTape> SimdBackend::softmax_tape() { return std::make_unique<BlockTape>(); }

void SimdBackend::softmax_forward(const Activations& x, std::span<const TableRows> words,
                                  std::span<const int> targets, std::span<double> nats,
                                  SoftmaxTape* keep) {
  const BlockedActivations& in = blocked(x);
  assert(static_cast<Index>(targets.size()) == in.tokens() && nats.size() == targets.size());
  catch_up_words(words);
  const std::vector<WordGroup> groups = word_groups(words, kMostSquares);
  assert(in.channels() == groups.front().table->shape.width);
  assert(std::all_of(targets.begin(), targets.end(), [&](int target) {
    return target < groups.back().first_word + groups.back().words();
  }));
  BlockTape local;
  BlockTape& tape = keep != nullptr ? static_cast<BlockTape&>(*keep) : local;
  tape.resize(in.span(), groups, keep != nullptr);
  std::vector<double> group_sum(tape.sums.panel_max.size());
  const std::vector<Tile>& tiles = in.tiles();
  const std::vector<std::int32_t>& token_of = in.token_of();
  const Index count = static_cast<Index>(groups.size());
  const Index tile_count = static_cast<Index>(tiles.size());
  // About 32 chunks: by rows too, where words alone give too few.
  const Chunks parts = {tile_count, std::max<Index>(1, tile_count * count / 32)};
  reserve_workers(kLogits + kMostSquares * groups.front().table->row_size());
  pool_.run(count * parts.count(), [&](Index chunk, int worker) {
    const auto number = static_cast<std::size_t>(chunk / parts.count());
    const WordGroup& group = groups[number];
    float *z = worker_memory(worker), *transposed_words = z + kLogits;
    transpose_words(kernels_, group, transposed_words);
    const WordTerms terms(group);
    const Index part = chunk % parts.count();
    for (Index i = parts.begin(part); i < parts.end(part); ++i) {
      const Tile& tile = tiles[static_cast<std::size_t>(i)];
      tile_logits(kernels_, group, terms, transposed_words, in, tile, z);
      for (Index r = 0; r < tile.rows; ++r) {
        const std::int32_t token = token_of[static_cast<std::size_t>(tile.row + r)];
        if (token < 0) continue;
        const Index place = group.place_of(targets[static_cast<std::size_t>(token)]);
        if (place < 0) continue;
        tape.sums.target_logit[static_cast<std::size_t>(tile.row + r)] =
            z[place / kPanel * kMostRows * kPanel + r * kPanel + place % kPanel];
      }
      const std::size_t at = tape.sums.at(number, tile.row);
      kernels_.exponentials(
          z, group.panels(), tile.rows, tape.sums.panel_max.data() + at, group_sum.data() + at,
          keep != nullptr ? tape.block(group.first_block) + tile.row * kBlock : nullptr,
          tape.pitch);
    }
  });
  const Chunks rows = {in.span(), 64};
  pool_.run(rows.count(), [&](Index chunk, int) {
    for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      if (token_of[static_cast<std::size_t>(row)] < 0) continue;
      const auto token = static_cast<std::size_t>(token_of[static_cast<std::size_t>(row)]);
      tape.sums.merge(row, group_sum);
      nats[token] = targets[token] < 0 ? 0 : -tape.sums.target_log_probability(row);
    }
  });
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
  reserve_workers(in.span());
  pool_.run(static_cast<Index>(groups.size()), [&](Index chunk, int worker) {
    const auto i = static_cast<std::size_t>(chunk);
    logit_gradient(kernels_, tape, i, groups[i], in, targets, worker_memory(worker));
    finish_logit_gradient(kernels_, tape, groups[i], in.span());
    word_gradient(kernels_, tape, groups[i], in, adds[i] != 0);
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
  reserve_workers(panels * per_panel);
  GradientReader reader(below, into, x, pool_);
  reader.prepare(tile_groups.count());
  pool_.run(tile_groups.count(), [&](Index chunk, int worker) {
    float* sums = worker_memory(worker);
    const Index first = tile_groups.begin(chunk), end = tile_groups.end(chunk);
    const auto sums_of = [&](Index panel, Index tile) {
      return sums + panel * per_panel + (tile - first) * kMostRows * kPanel;
    };
    for (const WordGroup& group : groups) {
      const TableWeights& w = *group.table;
      for (Index panel = 0; panel < panels; ++panel) {
        for (Index i = first; i < end; ++i) {
          const Tile& tile = tiles[static_cast<std::size_t>(i)];
          kernels_.product(
              {.a = tape.block(group.first_block) + tile.row * kBlock,
               .a_chunk = tape.pitch,
               .a_tap = 0,
               .b = w.v()[Array::kValue] + w.element(group.first_square * kBlock, panel * kPanel),
               .b_chunk = w.row_size(),
               .chunks = group.squares,
               .taps = 1,
               .rows = tile.rows,
               .out = sums_of(panel, i),
               .add = &group != &groups.front()});
        }
      }
    }
    for (Index panel = 0; panel < panels; ++panel) {
      for (Index i = first; i < end; ++i) {
        reader.take(kernels_, chunk, panel, tiles[static_cast<std::size_t>(i)], sums_of(panel, i));
      }
    }
  });
  reader.finish();
}

void SimdBackend::log_probabilities(const Activations& x, std::span<const TableRows> words,
                                    std::span<const Index> tokens, std::span<Real> out) {
  const BlockedActivations& in = blocked(x);
  catch_up_words(words);
  const std::vector<WordGroup> groups = word_groups(words, kMostSquares);
  const Index vocabulary = groups.back().first_word + groups.back().words();
  const auto rows = static_cast<Index>(tokens.size());
  assert(static_cast<Index>(out.size()) == rows * vocabulary);
  const Index blocks = groups.front().table->width_blocks;
  const DigitKernels* digits = nullptr;
  for (const WordGroup& group : groups) {
    if (group.table->narrow != nullptr) digits = group.table->narrow->digits();
  }
  const Index size = (blocks * rows + kMostRows) * kBlock;
  float* hidden = shared_memory(size + digit_floats(digits, blocks, rows));
  for (Index i = 0; i < rows; ++i) {
    const Index token = tokens[static_cast<std::size_t>(i)], time = in.map().time;
    for (Index block = 0; block < blocks; ++block) {
      std::copy_n(in.at(block, token / time * in.pitch() + token % time), kBlock,
                  hidden + (block * rows + i) * kBlock);
    }
  }
  const NarrowRows narrow = split({hidden, rows * kBlock}, blocks, digits, hidden + size);
  LogSums sums;
  sums.resize(rows, groups.size());
  std::vector<double> group_sum(sums.panel_max.size());
  pool_.run(static_cast<Index>(groups.size()), [&](Index chunk, int) {
    const WordGroup& group = groups[static_cast<std::size_t>(chunk)];
    const WordTerms terms(group);
    const Index skipped = group.begin() - group.first_square * kBlock;
    word_dots(kernels_, group, narrow, out.data() + group.first_word, vocabulary);
    for (Index i = 0; i < rows; ++i) {
      float* values = out.data() + i * vocabulary + group.first_word;
      const Index scaled = terms.plain() ? 0 : group.words();
      for (Index word = 0; word < scaled; ++word) {
        const Index at = skipped + word;
        values[word] = values[word] * (terms.normed ? terms.scales[at] : 1) + terms.biases[at];
      }
      const std::size_t at = sums.at(static_cast<std::size_t>(chunk), i);
      sums.panel_max[at] = kernels_.largest(values, group.words());
      group_sum[at] = kernels_.exponential_sum(values, group.words(), sums.panel_max[at]);
    }
  });
  pool_.run(rows, [&](Index i, int) {
    sums.merge(i, group_sum);
    const auto at = static_cast<std::size_t>(i);
    kernels_.subtract(out.data() + i * vocabulary, vocabulary, sums.max[at],
                      static_cast<float>(sums.log_sum[at]));
  });
}

}  // namespace sluice::kernels::simd
