#pragma once

#include <memory>

#include "sluice/base/aligned_buffer.h"
#include "sluice/base/thread_pool.h"
#include "src/kernels/simd/kernels.h"
#include "src/kernels/simd/layout.h"
#include "src/kernels/simd/weights.h"

// What products on tiles read, made from the backend's floats. Each operand has one part, or two
// that lie `low` numbers apart: the second is what bfloat16 leaves over (kernels/precision.h).
namespace sluice::kernels::simd {

// Numbers of bfloat16; what stood there is lost when it grows.
class TileMemory {
 public:
  // For an operand of so many numbers in so many parts.
  void resize(Index numbers, int parts);
  Bfloat16* data() const { return reinterpret_cast<Bfloat16*>(memory_.data()); }
  Index low() const { return numbers_; }
  std::size_t bytes() const { return static_cast<std::size_t>(memory_.size()) * sizeof(float); }

 private:
  AlignedBuffer memory_;
  Index numbers_ = 0;
};

inline Index lines_of(Index blocks) { return (blocks + 1) / 2; }

// Calls narrow(part, offset of the part) for each.
template <class Visit>
void each_part(int parts, Index low, const Visit& visit) {
  visit(Part::kHigh, Index{0});
  if (parts > 1) visit(Part::kLow, low);
}

// A block's rows, 16 apart, as steps of 32 with a row per channel, [steps][16][32]; the last step
// is filled up with zeros.
void take_columns(const float* block, Index rows, const Kernels& kernels, int parts, Index low,
                  Bfloat16* out);

// Activations as left operands, [lines of 32 channels][rows][32]: a tap is an offset of lines.
class ActivationLines {
 public:
  void take(const BlockedActivations& x, Index blocks, const Kernels& kernels, ThreadPool& pool,
            int parts);
  const Bfloat16* at(Index line, Index row) const {
    return memory_.data() + line * pitch_ + (row + lead_) * kLine;
  }
  Index pitch() const { return pitch_; }  // from a line of channels to the next
  Index low() const { return memory_.low(); }
  std::size_t bytes() const { return memory_.bytes(); }

 private:
  TileMemory memory_;
  Index lead_ = 0, pitch_ = 0;
};

// Activations as left operands of weight gradients, sums over rows: [blocks][steps][16][32 rows],
// the rows from -lead on, zeros behind the last.
class ActivationColumns {
 public:
  void take(const BlockedActivations& x, Index lead, const Kernels& kernels, ThreadPool& pool,
            int parts);
  const Bfloat16* at(Index block, Index step) const {
    return memory_.data() + (block * steps_ + step) * kTile;
  }
  Index steps() const { return steps_; }
  Index low() const { return memory_.low(); }
  std::size_t bytes() const { return memory_.bytes(); }

 private:
  TileMemory memory_;
  Index steps_ = 0;
};

// Activations as right operands of weight gradients, pairs of rows: [blocks][pairs][16][2]. Pairs
// begin at every row, so that any shift of rows is an offset: those from rows -lead + 2 p lie in a
// first array, those from -lead + 2 p + 1 in a second. Rows outside the span are zero.
class ActivationPairs {
 public:
  // Read up to `reach` rows further than `steps` steps; without reach there is one array.
  void take(const BlockedActivations& x, Index blocks, Index lead, Index steps, Index reach,
            const Kernels& kernels, ThreadPool& pool, int parts);
  // The pairs from row -lead + 32 step + shift on.
  const Bfloat16* at(Index block, Index step, Index shift) const {
    return memory_.data() + shift % 2 * phase_ +
           (block * pairs_ + step * (kLine / 2) + shift / 2) * kLine;
  }
  Index low() const { return memory_.low(); }
  std::size_t bytes() const { return memory_.bytes(); }

 private:
  TileMemory memory_;
  Index pairs_ = 0, phase_ = 0;
};

// The parameters of a product with copies as right operands, made anew by refresh().
struct TileWeights : ProductWeights {
  TileWeights(const ConvShape& conv, const Slices& v, const Slices* g, const Slices* b, int parts);

  // Of forward: [panels][lines of inputs][taps][2][tile].
  Index forward_offset(Index panel) const {
    return panel * lines_of(input_blocks) * shape.taps * kTilePair;
  }
  // Of backward: [lines of inputs][panels][taps, the newest first][2][tile].
  Index backward_offset(Index line) const { return line * panels * shape.taps * kTilePair; }
  // Memory for both copies; the one of backward only in training.
  void reserve();
  // Of a panel whose numbers are `values`, both.
  void pack(const Kernels& kernels, Index panel, const float* values) const;

  int parts;
  TileMemory forward, backward;

 private:
  bool trains() const { return v()[Array::kGradient] != nullptr; }
  void pack_forward(const Kernels& kernels, Index panel, Index line, Index tap,
                    const float* values) const;
  void pack_backward(const Kernels& kernels, Index panel, Index line, Index tap,
                     const float* values) const;
};

}  // namespace sluice::kernels::simd
