// Softmax over the vocabulary in groups of words: their logits for one tile of rows, maxima and
// exponentials while these are in cache, then log-sum-exp over the groups. exp is computed once;
// softmax_backward.cc rescales it.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "src/kernels/simd/simd_backend.h"
#include "src/kernels/simd/softmax_tape.h"
#include "src/kernels/simd/word_dots.h"

namespace sluice::kernels::simd {
namespace {

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

// What becomes of a tile's products with the words.
void finish_logits(const Kernels& kernels, const WordGroup& group, const WordTerms& terms,
                   Index rows, float* z) {
  for (Index panel = 0; panel < group.panels() && !terms.plain(); ++panel) {
    kernels.shift_logits(z + panel * kMostRows * kPanel, rows,
                         terms.normed ? terms.scales + panel * kPanel : nullptr,
                         terms.biased ? terms.biases + panel * kPanel : nullptr);
  }
  mask_words(group, rows, z);
}

}  // namespace

std::unique_ptr<SoftmaxTape> SimdBackend::softmax_tape() { return std::make_unique<BlockTape>(); }

Index SimdBackend::word_memory(const TableWeights& w) const { return kMostSquares * w.row_size(); }

// The group's weights with words as columns: [panels][width blocks][2][16][16 words].
void SimdBackend::pack_words(const WordGroup& group, float* out) const {
  const TableWeights& w = *group.table;
  for (Index square = 0; square < 2 * group.panels(); ++square) {
    for (Index block = 0; block < w.width_blocks; ++block) {
      float* to = out + (square / 2 * w.width_blocks + block) * kPair + square % 2 * kSquare;
      if (square == group.squares) {
        std::fill_n(to, kSquare, 0.0F);
        continue;
      }
      kernels_.transpose(
          w.v()[Array::kValue] + w.element((group.first_square + square) * kBlock, block * kBlock),
          to);
    }
  }
}

void SimdBackend::word_products(const WordGroup& group, const float* packed,
                                const BlockedActivations& x, const Tile& tile, float* z) const {
  const Index width_blocks = group.table->width_blocks;
  for (Index panel = 0; panel < group.panels(); ++panel) {
    kernels_.product({.a = x.at(0, tile.row),
                      .a_chunk = x.rows().pitch,
                      .a_tap = 0,
                      .b = packed + panel * width_blocks * kPair,
                      .b_chunk = kPair,
                      .chunks = width_blocks,
                      .taps = 1,
                      .rows = tile.rows,
                      .out = z + panel * kMostRows * kPanel,
                      .add = false});
  }
}

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
  take_hidden(in);
  reserve_workers(kLogits + word_memory(*groups.front().table));
  pool_.run(count * parts.count(), [&](Index chunk, int worker) {
    const auto number = static_cast<std::size_t>(chunk / parts.count());
    const WordGroup& group = groups[number];
    float *z = worker_memory(worker), *packed = z + kLogits;
    pack_words(group, packed);
    const WordTerms terms(group);
    const Index part = chunk % parts.count();
    for (Index i = parts.begin(part); i < parts.end(part); ++i) {
      const Tile& tile = tiles[static_cast<std::size_t>(i)];
      word_products(group, packed, in, tile, z);
      finish_logits(kernels_, group, terms, tile.rows, z);
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
          keep != nullptr ? tape.at(group.first_block, tile.row) : nullptr, tape.pitch);
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
