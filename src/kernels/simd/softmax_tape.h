#pragma once

#include <span>
#include <vector>

#include "sluice/base/aligned_buffer.h"
#include "sluice/kernels/backend.h"
#include "src/kernels/gain.h"
#include "src/kernels/log_sums.h"
#include "src/kernels/simd/weights.h"

namespace sluice::kernels::simd {

constexpr Index kMostSquares = 32;  // of a group: its weights and logits fit the second cache

// Words of a softmax that are worked on together: rows of one table, cut at its squares.
struct WordGroup {
  TableWeights* table;
  Index first_square, squares;  // rows of squares of the table
  Index part_begin, part_end;   // rows of the table that are words of the softmax
  Index first_word;             // number among them of the group's first
  Index first_block;            // in the tape

  Index begin() const { return std::max(part_begin, first_square * kBlock); }
  Index end() const { return std::min(part_end, (first_square + squares) * kBlock); }
  Index words() const { return end() - begin(); }
  Index panels() const { return (squares + 1) / 2; }
  // Of a word its column among the group's squares; -1: it is not here.
  Index place_of(Index word) const {
    const Index at = word - first_word;
    return at < 0 || at >= words() ? -1 : at + begin() - first_square * kBlock;
  }
};

// A function of the shapes alone: about 16 groups, more where one would have more than `most`
// squares, fewer below 512 words.
std::vector<WordGroup> word_groups(std::span<const TableRows> words, Index most);

// exp(z - the group's maximum) of every row, in blocks of 16 words: [blocks][rows][16], laid out
// like activations, so that backward reads them as operands.
struct BlockTape : SoftmaxTape {
  AlignedBuffer exponentials;
  Index pitch = 0;  // of a block
  LogSums sums;

  float* block(Index number) const { return exponentials.data() + number * pitch; }
  std::size_t bytes() const override {
    return static_cast<std::size_t>(exponentials.size()) * sizeof(float) + sums.bytes();
  }
  void resize(Index rows, std::span<const WordGroup> groups, bool keep);
};

}  // namespace sluice::kernels::simd
