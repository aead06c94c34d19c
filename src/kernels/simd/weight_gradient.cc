#include "src/kernels/simd/weight_gradient.h"

#include <algorithm>

#include "src/kernels/gain.h"

namespace sluice::kernels::simd {

// At least about 16 chunks.
WeightGradient::WeightGradient(const Kernels& kernels, ProductWeights& weights, Index unit)
    : kernels_(kernels),
      w_(weights),
      unit_(unit),
      panels_{weights.panels, std::clamp<Index>(weights.panels / 16, 1, 2)},
      blocks_{weights.input_blocks,
              std::max(unit, weights.input_blocks * panels_.count() / 16 / unit * unit)} {
  squares_.resize(static_cast<std::size_t>(chunks() * kBlock));
  if (w_.g() == nullptr) return;
  dots_.resize(static_cast<std::size_t>(blocks_.count() * w_.panels * kPanel));
}

void WeightGradient::finish_chunk(Index chunk) {
  const Index part = chunk % blocks_.count();
  each(chunk, [&](Index panel, Index first) {
    const Index end = std::min(first + unit_, w_.input_blocks);
    double* dots = dots_.empty() ? nullptr : dots_.data() + (part * w_.panels + panel) * kPanel;
    for (Index block = first; block < end; ++block) {
      finish_block(panel, block, dots, squares_.data() + chunk * kBlock);
    }
  });
}

// While they are in cache.
void WeightGradient::finish_block(Index panel, Index block, double* dots, double* squares) {
  for (Index tap = 0; tap < w_.shape.taps; ++tap) {
    const Index at = w_.offset(panel, block, tap);
    float* gradient = w_.v()[Array::kGradient] + at;
    // Columns that there are not, where their number of blocks is odd.
    if (2 * panel + 1 == w_.column_blocks) std::fill_n(gradient + kSquare, kSquare, 0.0F);
    if (w_.drop.rate > 0) w_.mask_pair(kernels_, panel, block, tap, gradient, gradient);
    kernels_.add_dots(gradient, gradient, kPair, squares);
    if (dots == nullptr) continue;
    const float* v = w_.v()[Array::kValue] + at;
    for (const Index half : {Index{0}, kSquare}) {
      kernels_.add_dots(v + half, gradient + half, kSquare, dots + half / kSquare * kBlock);
    }
  }
}

void WeightGradient::finish() {
  w_.has_gradient = true;
  double square = 0;
  for (const double part : squares_) square += part;
  w_.gradient_norm2 = square;
  if (w_.g() == nullptr) return;
  for (Index column = 0; column < w_.shape.columns(); ++column) {
    const Index at = w_.place(column);
    double dot = 0;
    for (Index part = 0; part < blocks_.count(); ++part) {
      dot += dots_[static_cast<std::size_t>(part * w_.panels * kPanel + at)];
    }
    w_.dot[static_cast<std::size_t>(at)] = dot;
    const Real gain = floored((*w_.g())[Array::kValue][column]);
    (*w_.g())[Array::kGradient][column] = static_cast<Real>(dot / static_cast<double>(gain));
  }
}

}  // namespace sluice::kernels::simd
