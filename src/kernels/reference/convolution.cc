// Causal convolution as products on overlapping windows: with dilation 1 the k rows that one output
// row reads are adjacent in memory, so the unfolded input is the input itself with a row stride of
// one row. Dilated convolutions take one product per tap. Sequences of one token (generation) have
// a product of their own.
#include <cassert>

#include "reference_backend.h"

namespace sluice::kernels::reference {
namespace {

// Below this many rows a batch is cut over channels instead of rows (decoding).
constexpr Index kFewRows = 16;

// Input channels in equal parts of at most 128: a narrow rest would pay for packing dz a whole
// time.
Chunks input_panels(Index in) {
  const Index parts = (in + 127) / 128;
  return {in, (in + parts - 1) / parts};
}

ConstStrided tap_weights(const ProductWeights& w, Index tap, Index begin, Index end) {
  const Index columns = w.shape.columns();
  return {w.read() + tap * w.shape.in * columns + begin, w.shape.in, end - begin,
          Eigen::OuterStride<>(columns)};
}

// z = columns [begin, end) of the product for rows [first, first + z.rows()).
void product(const RowActivations& x, const ProductWeights& w, Index first, Index begin, Index end,
             Strided z) {
  const ConvShape& shape = w.shape;
  const Index columns = shape.columns();
  if (shape.dilation == 1 || shape.taps == 1) {
    const ConstStrided windows(x.row(first - shape.reach()), z.rows(), shape.taps * shape.in,
                               Eigen::OuterStride<>(shape.in));
    const ConstStrided all(w.read() + begin, shape.taps * shape.in, end - begin,
                           Eigen::OuterStride<>(columns));
    z.noalias() = windows * all;
    return;
  }
  for (Index tap = 0; tap < shape.taps; ++tap) {
    const Index shift = (shape.taps - 1 - tap) * shape.dilation;
    const auto rows = x.rows(first - shift, z.rows());
    if (tap == 0) {
      z.noalias() = rows * tap_weights(w, tap, begin, end);
    } else {
      z.noalias() += rows * tap_weights(w, tap, begin, end);
    }
  }
}

constexpr Index kDepth = 8;   // inputs whose weights are read together
constexpr Index kAlign = 16;  // rows of z start alike, so that each takes the same instructions

bool is_single_tokens(const RowActivations& x) {
  return (x.selection() != nullptr ? x.selection()->source : x.map()).time == 1;
}

// z += x [w_0; w_1; ...] for one row z, one input after the other; w_i: `pitch` apart.
void add_inputs(const Real* x, Index inputs, const Real* w, Index pitch, Row z) {
  const auto row = [&](Index i) { return ConstRow(w + i * pitch, z.size()); };
  if (inputs == kDepth) {
    z = z + x[0] * row(0) + x[1] * row(1) + x[2] * row(2) + x[3] * row(3) + x[4] * row(4) +
        x[5] * row(5) + x[6] * row(6) + x[7] * row(7);
    return;
  }
  for (Index i = 0; i < inputs; ++i) z = z + x[i] * row(i);
}

// z_r += columns [begin, begin + width) of the product, for every token. A few rows of weights are
// used by all tokens while they are in cache, so that memory is read once whatever the batch; what
// one token computes, and in which order, is the same in any batch.
void single_token_product(const RowActivations& x, const ProductWeights& w, Index begin,
                          Index width, Real* z, Index z_pitch) {
  const ConvShape& shape = w.shape;
  const Index columns = shape.columns(), step = x.selection() != nullptr ? 1 : x.pitch();
  for (Index tap = 0; tap < shape.taps; ++tap) {
    const Real* from = x.row(-(shape.taps - 1 - tap) * shape.dilation);
    const Real* weights = w.read() + tap * shape.in * columns + begin;
    for (Index first = 0; first < shape.in; first += kDepth) {
      const Index inputs = std::min(kDepth, shape.in - first);
      for (Index token = 0; token < x.tokens(); ++token) {
        add_inputs(from + token * step * shape.in + first, inputs, weights + first * columns,
                   columns, Row(z + token * z_pitch, width));
      }
    }
  }
}

}  // namespace

void ReferenceBackend::forward_single_tokens(const RowActivations& x, const ProductWeights& w,
                                             const RowJunction& junction) {
  const Index n = w.shape.out, tokens = x.tokens(), halves = w.shape.paired ? 2 : 1;
  // Narrow parts give threads more to share, wide ones are quicker with several tokens. Both are
  // whole runs of kAlign channels, so that each channel is computed by the same instructions.
  const Index least = tokens == 1 ? 2 * kAlign : 4 * kAlign;
  const Index part = std::max(least, ((n + 15) / 16 + kAlign - 1) / kAlign * kAlign);
  const Chunks channels = {n, part};
  reserve_scratch(tokens * halves * part);
  pool_.run(channels.count(), [&](Index chunk, int worker) {
    const Index begin = channels.begin(chunk), end = channels.end(chunk), pitch = halves * part;
    Real* z = scratch(worker, tokens * pitch);
    std::fill(z, z + tokens * pitch, Real(0));
    for (Index half = 0; half < halves; ++half) {
      single_token_product(x, w, half * n + begin, end - begin, z + half * part, pitch);
    }
    for (Index token = 0; token < tokens; ++token) {
      const Index row = x.selection() != nullptr ? token : token * x.pitch();
      junction.forward(row, begin, end, z + token * pitch, z + token * pitch + part);
    }
  });
}

void ReferenceBackend::conv_forward(const Activations& x, const Weights& weights, Junction& out) {
  const auto& w = static_cast<const ProductWeights&>(weights);
  const RowActivations& in = rows_of(x);
  assert(in.width() == w.shape.in && x.map().context >= w.shape.reach() && !w.stale);
  const RowJunction junction(out);
  if (is_single_tokens(in)) {
    forward_single_tokens(in, w, junction);
    return junction.finish_forward();
  }
  const Index n = w.shape.out, columns = w.shape.columns();
  const bool few = in.span() <= kFewRows;
  const Chunks rows = few ? Chunks{in.span(), in.span()} : row_chunks(in.span());
  const Chunks channels = {n, few ? std::max<Index>(32, (n + 15) / 16) : n};
  reserve_scratch(rows.size * columns);
  pool_.run(rows.count() * channels.count(), [&](Index chunk, int worker) {
    const Index row_chunk = chunk / channels.count(), part = chunk % channels.count();
    const Index first = rows.begin(row_chunk), count = rows.length(row_chunk);
    const Index begin = channels.begin(part), end = channels.end(part), width = end - begin;
    Real* z = scratch(worker, rows.size * columns);
    // [a | b] of these channels side by side.
    const Index pitch = w.shape.paired ? 2 * width : width;
    if (width == n) {
      product(in, w, first, 0, columns, {z, count, columns, Eigen::OuterStride<>(pitch)});
    } else {
      product(in, w, first, begin, end, {z, count, width, Eigen::OuterStride<>(pitch)});
      if (w.shape.paired) {
        product(in, w, first, n + begin, n + end,
                {z + width, count, width, Eigen::OuterStride<>(pitch)});
      }
    }
    for (Index i = 0; i < count; ++i) {
      if (in.is_context(first + i)) continue;
      junction.forward(first + i, begin, end, z + i * pitch, z + i * pitch + width);
    }
  });
  junction.finish_forward();
}

void ReferenceBackend::conv_backward_weights(const Activations& x, const Activations& dz,
                                             Weights& weights) {
  auto& w = static_cast<ProductWeights&>(weights);
  const RowActivations &in = rows_of(x), &dout = rows_of(dz);
  const ConvShape& shape = w.shape;
  const Index columns = shape.columns(), rows = in.span();
  assert(dout.width() == columns && in.width() == shape.in);
  const Chunks panels = input_panels(shape.in);
  const Index count = panels.count() * shape.taps;
  const bool normed = w.g() != nullptr;
  AlignedBuffer partial(normed ? count * columns : 0);
  pool_.run(count, [&](Index chunk, int) {
    const Index tap = chunk / panels.count(), panel = chunk % panels.count();
    const Index begin = panels.begin(panel), length = panels.length(panel);
    const Index offset = (tap * shape.in + begin) * columns;
    const ConstStrided from(in.row(-(shape.taps - 1 - tap) * shape.dilation) + begin, rows, length,
                            Eigen::OuterStride<>(shape.in));
    Strided dw(w.v()[Array::kGradient] + offset, length, columns, Eigen::OuterStride<>(columns));
    // Context rows of dz are zero, so what stands beside them does not count.
    if (w.has_gradient) {
      dw.noalias() += from.transpose() * dout.rows(0, rows);
    } else {
      dw.noalias() = from.transpose() * dout.rows(0, rows);
    }
    if (w.drop.rate > 0) {
      for (Index i = 0; i < length; ++i) {
        w.mask_row(tap * shape.in + begin + i, &dw(i, 0), &dw(i, 0));
      }
    }
    if (!normed) return;
    const ConstStrided v(w.v()[Array::kValue] + offset, length, columns,
                         Eigen::OuterStride<>(columns));
    Row dot(partial.data() + chunk * columns, columns);
    for (Index i = 0; i < length; ++i) dot += dw.row(i).array() * v.row(i).array();
  });
  w.has_gradient = true;
  if (!normed) return;
  for (Index column = 0; column < columns; ++column) {
    double dot = 0;
    for (Index chunk = 0; chunk < count; ++chunk) dot += partial.data()[chunk * columns + column];
    w.dot[static_cast<std::size_t>(column)] = dot;
    const Real gain = floored((*w.g())[Array::kValue][column]);
    (*w.g())[Array::kGradient][column] = static_cast<Real>(dot / gain);
  }
}

void ReferenceBackend::conv_backward_data(const Activations& dz, const Weights& weights,
                                          Junction& below, Into into) {
  const auto& w = static_cast<const ProductWeights&>(weights);
  const RowActivations& dout = rows_of(dz);
  const ConvShape& shape = w.shape;
  assert(dout.width() == shape.columns() && dz.map().context >= shape.reach());
  // dx[r] = sum_j dz[r + (k-1-j) d] W_j^T; the rows behind a sequence's end are zero.
  backward_rows(below, into, dout, [&](Index first, Strided out) {
    for (Index tap = 0; tap < shape.taps; ++tap) {
      const auto rows = dout.rows(first + (shape.taps - 1 - tap) * shape.dilation, out.rows());
      const auto transposed = tap_weights(w, tap, 0, shape.columns()).transpose();
      if (tap == 0) {
        out.noalias() = rows * transposed;
      } else {
        out.noalias() += rows * transposed;
      }
    }
  });
}

}  // namespace sluice::kernels::reference
