// What products on tiles take beside the floats that they are made from.
#include <algorithm>

#include "src/kernels/simd/tile_backend.h"

namespace sluice::kernels::simd {
namespace {

// Numbers of bfloat16 of the operands that a training step makes of activations and words, each
// the most that any product wants (tile_operands.h).
struct Operands {
  Index lines = 0, columns = 0, pairs = 0;

  Operands(std::span<const std::unique_ptr<Weights>> weights, const RowMap& batch) {
    const Index rows = batch.sequences * (batch.context + batch.time) + batch.context + kMostRows;
    const Index steps = (rows + kLine - 1) / kLine;
    for (const auto& each : weights) {
      Index in = 0, out = 0;  // blocks of channels that come as lines
      if (const auto* product = dynamic_cast<const ProductWeights*>(each.get())) {
        in = product->input_blocks;
        out = product->column_blocks;
        columns = std::max(columns, in * steps * kTile);
        pairs = std::max(pairs, (product->shape.taps > 1 ? 2 : 1) * out * steps * kTile);
      } else if (const auto* table = dynamic_cast<const TableWeights*>(each.get())) {
        // A table of words reads what is as wide as its rows.
        in = table->width_blocks;
        pairs = std::max(pairs, in * steps * kTile);
      }
      lines = std::max(lines, lines_of(std::max(in, out)) * rows * kLine);
    }
  }
};

double bytes_of(Index numbers, int parts) {
  return static_cast<double>(numbers * parts) * sizeof(Bfloat16);
}

}  // namespace

void TileBackend::softmax_forward(const Activations& x, std::span<const TableRows> words,
                                  std::span<const int> targets, std::span<double> nats,
                                  SoftmaxTape* tape) {
  Index numbers = 0;
  for (const TableRows& rows : words) {
    const auto& table = static_cast<const TableWeights&>(*rows.table);
    numbers += lines_of(table.width_blocks) * lines_of(blocks_of(rows.size()) + 1) * kTilePair;
  }
  if (tape != nullptr) most_word_rows_ = std::max(most_word_rows_, numbers);
  SimdBackend::softmax_forward(x, words, targets, nats, tape);
}

WorkingMemory TileBackend::working_memory(std::span<const std::unique_ptr<Weights>> weights,
                                          const RowMap& batch) const {
  double packed = 0;
  for (const auto& each : weights) {
    const auto* product = dynamic_cast<const TileWeights*>(each.get());
    if (product == nullptr) continue;
    packed += static_cast<double>(product->forward.bytes() + product->backward.bytes());
  }
  const Operands most(weights, batch);
  const auto now = [](const auto& operand) { return static_cast<double>(operand.bytes()); };
  const auto then = [&](const auto& operand, Index numbers) {
    return std::max(now(operand), bytes_of(numbers, parts_));
  };
  return {.now = packed + now(lines_) + now(columns_) + now(pairs_) + now(word_rows_),
          .training = packed + then(lines_, most.lines) + then(columns_, most.columns) +
                      then(pairs_, most.pairs) + then(word_rows_, most_word_rows_)};
}

}  // namespace sluice::kernels::simd
