#include "src/kernels/simd/softmax_tape.h"

#include <algorithm>
#include <cassert>

#include "sluice/base/memory.h"

namespace sluice::kernels::simd {

std::vector<WordGroup> word_groups(std::span<const TableRows> words, Index most) {
  const auto first_of = [](const TableRows& part) { return part.begin / kBlock; };
  const auto count_of = [&](const TableRows& part) { return blocks_of(part.end) - first_of(part); };
  Index total = 0;
  for (const TableRows& part : words) total += count_of(part);
  const Index size = std::clamp<Index>((total + 31) / 32 * 2, 2, most);
  std::vector<WordGroup> groups;
  Index word = 0, block = 0;
  for (const TableRows& part : words) {
    auto& table = static_cast<TableWeights&>(*part.table);
    assert(part.begin >= 0 && part.end <= table.shape.rows && !table.stale);
    assert(table.shape.width == static_cast<TableWeights&>(*words.front().table).shape.width);
    const Chunks squares = {count_of(part), size};
    for (Index i = 0; i < squares.count(); ++i) {
      groups.push_back({.table = &table,
                        .first_square = first_of(part) + squares.begin(i),
                        .squares = squares.length(i),
                        .part_begin = part.begin,
                        .part_end = part.end,
                        .first_word = word,
                        .first_block = block});
      word += groups.back().words();
      block += 2 * groups.back().panels();
    }
  }
  return groups;
}

void BlockTape::resize(Index rows, std::span<const WordGroup> groups, bool keep) {
  sums.resize(rows, groups.size());
  if (!keep) return;
  pitch = (rows + kMostRows) * kBlock;
  const Index size = (groups.back().first_block + 2 * groups.back().panels()) * pitch;
  if (exponentials.size() >= size) return;
  // A tail has other rows in every batch: room to grow spares most of the next ones.
  const Index grown = exponentials.size() == 0 ? size : size + size / 4;
  exponentials = AlignedBuffer();
  require_memory(static_cast<double>(grown) * sizeof(float), "the softmax of a batch");
  exponentials = AlignedBuffer(grown);
}

}  // namespace sluice::kernels::simd
