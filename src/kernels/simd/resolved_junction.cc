#include "src/kernels/simd/resolved_junction.h"

#include <algorithm>
#include <cassert>

#include "src/kernels/chunks.h"
#include "src/kernels/written.h"

namespace sluice::kernels::simd {
namespace {

Rows rows_of(const Activations* x) { return x == nullptr ? Rows{} : blocked(*x).rows(); }
Rows rows_if_written(const Activations* x) {
  return x == nullptr || !x->written ? Rows{} : blocked(*x).rows();
}

bool has_bias(const Weights* weights) { return weights != nullptr && weights->b() != nullptr; }

}  // namespace

ResolvedJunction::ResolvedJunction(const Junction& junction) : junction_(junction) {
  shape_ = &blocked(junction.output());
  blocks_ = blocks_of(shape_->channels());
  view_.gate = junction.gate;
  view_.scale = junction.scale;
  if (const auto* producer = static_cast<const ProductWeights*>(junction.producer)) {
    assert(!producer->stale && producer->column_blocks == product_blocks());
    view_.scales = producer->scales.data();
    view_.biases = producer->biases.data();
  }
  if (const auto* producer = static_cast<const ProductWeights*>(junction.residual_producer)) {
    view_.residual_scales = producer->scales.data();
    view_.residual_biases = producer->biases.data();
  }
  view_.self = mask(junction.self, self_keys_);
  view_.next = mask(junction.next, next_keys_);
  view_.token = shape_->token_of().data();
  view_.residual = rows_of(junction.residual);
  view_.stream = rows_of(junction.stream);
  view_.plain = rows_of(junction.plain);
  view_.dropped = rows_of(junction.dropped);
  view_.saved = rows_of(junction.saved);
  view_.dy = rows_if_written(junction.dy);
  view_.ddropped = rows_if_written(junction.ddropped);
  view_.dresidual = rows_of(junction.dresidual);
  view_.dz = rows_of(junction.dz);
  // A projection's gradient is its own; an identity's is added to what came from above.
  view_.adds_residual = junction.residual_producer == nullptr && junction.dresidual != nullptr &&
                        junction.dresidual->written;
}

DropoutMask ResolvedJunction::mask(const Dropout& dropout, std::vector<RowKey>& keys) const {
  if (dropout.rate == 0) return {};
  const std::vector<std::int32_t>& token = shape_->token_of();
  keys.resize(token.size());
  for (std::size_t row = 0; row < keys.size(); ++row) {
    if (token[row] < 0) continue;
    const Position at = shape_->position(static_cast<Index>(row));
    keys[row] = row_key(dropout, at.sequence, at.t);
  }
  return {.keys = keys.data(),
          .threshold = dropout_threshold(dropout.rate),
          .keep = static_cast<float>(1 / (1 - dropout.rate))};
}

void ResolvedJunction::forward(const Kernels& kernels, Index panel, const Tile& tile,
                               const float* z) const {
  if (is_paired(view_.gate)) {
    kernels.junction_forward(view_, panel, tile.row, tile.rows, z, z + kBlock);
    return;
  }
  for (Index half = 0; half < 2 && 2 * panel + half < blocks_; ++half) {
    kernels.junction_forward(view_, 2 * panel + half, tile.row, tile.rows, z + half * kBlock,
                             nullptr);
  }
}

void ResolvedJunction::backward(const Kernels& kernels, Index panel, const Tile& tile,
                                const float* d, const BiasSums& sums) const {
  for (Index half = 0; half < 2 && 2 * panel + half < blocks_; ++half) {
    kernels.junction_backward(view_, 2 * panel + half, tile.row, tile.rows, d + half * kBlock,
                              sums);
  }
}

void ResolvedJunction::finish_forward() const {
  mark_forward(junction_);
  if (junction_.saved != nullptr) blocked(*junction_.saved).paired = is_paired(junction_.gate);
  for (Activations* out : {junction_.stream, junction_.plain, junction_.dropped}) {
    if (out != nullptr) blocked(*out).paired = false;
  }
}

void ResolvedJunction::finish_backward() const {
  mark_backward(junction_);
  if (junction_.dz != nullptr) blocked(*junction_.dz).paired = is_paired(junction_.gate);
  if (junction_.dresidual != nullptr) blocked(*junction_.dresidual).paired = false;
}

GradientReader::GradientReader(Junction& below, Into into, const BlockedActivations& from,
                               ThreadPool& pool)
    : below_(below), from_(from) {
  from.token_of();  // laid out here, not by several threads at once
  if (into == Into::kClose) {
    junction_ = std::make_unique<ResolvedJunction>(below);
    bias_ = has_bias(below.producer);
    residual_bias_ = has_bias(below.residual_producer);
    return;
  }
  part_ = &blocked(*(into == Into::kDy ? below.dy : below.ddropped));
  scattered_ = from.selection() != part_->selection();
  // A selection leaves rows out: these have a gradient of zero.
  if (scattered_ && !part_->written) clear_part(pool);
  adds_ = scattered_ || part_->written;
}

void GradientReader::clear_part(ThreadPool& pool) const {
  pool.run(part_->blocks(), [&](Index block, int) {
    std::fill_n(part_->at(block, 0), part_->span() * kBlock, 0.0F);
  });
}

void GradientReader::prepare(Index groups) {
  groups_ = groups;
  if (!bias_ && !residual_bias_) return;
  sums_ = (junction_->product_blocks() + junction_->blocks()) * kBlock;
  partial_.resize(static_cast<std::size_t>(groups * sums_));
}

void GradientReader::take(const Kernels& kernels, Index group, Index panel, const Tile& tile,
                          const float* d) {
  if (part_ != nullptr) return add_to_part(panel, tile, d);
  float* sums = partial_.data() + group * sums_;
  junction_->backward(
      kernels, panel, tile, d,
      {.producer = bias_ ? sums : nullptr,
       .residual = residual_bias_ ? sums + junction_->product_blocks() * kBlock : nullptr});
}

void GradientReader::add_to_part(Index panel, const Tile& tile, const float* d) const {
  const std::int32_t* token = from_.token_of().data();
  const Index blocks = blocks_of(part_->channels());
  for (Index half = 0; half < 2 && 2 * panel + half < blocks; ++half) {
    for (Index r = 0; r < tile.rows; ++r) {
      const Index row = tile.row + r;
      if (token[row] < 0) continue;
      const Index target = scattered_ ? part_->row_of(from_.position(row)) : row;
      float* to = part_->at(2 * panel + half, target);
      const float* values = d + r * kPanel + half * kBlock;
      if (adds_) {
        for (Index c = 0; c < kBlock; ++c) to[c] += values[c];
      } else {
        std::copy_n(values, kBlock, to);
      }
    }
  }
}

void GradientReader::finish() {
  if (part_ != nullptr) {
    part_->written = true;
    part_->paired = false;
    return;
  }
  const auto add = [&](Weights* weights, Index offset) {
    auto& w = static_cast<ProductWeights&>(*weights);
    float* total = (*w.b())[Array::kGradient];
    for (Index column = 0; column < w.shape.columns(); ++column) {
      float sum = w.has_bias_gradient ? total[column] : 0;
      for (Index group = 0; group < groups_; ++group) {
        sum += partial_[static_cast<std::size_t>(group * sums_ + offset + w.place(column))];
      }
      total[column] = sum;
    }
    w.has_bias_gradient = true;
  };
  if (bias_) add(below_.producer, 0);
  if (residual_bias_) add(below_.residual_producer, junction_->product_blocks() * kBlock);
  junction_->finish_backward();
}

}  // namespace sluice::kernels::simd
