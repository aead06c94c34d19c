#include "src/kernels/simd/minimal_filter.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "src/kernels/simd/scratch.h"

namespace sluice::kernels::simd {
namespace {

// The last point is infinity.
constexpr Index kFinite = kPoints - 1;
constexpr std::array<double, kFinite> kPlaces = {0, 1, -1, 2, -0.5};

// Coefficients of the product of x - p over all finite points p but number `left_out`.
std::array<double, kPoints> product_of_roots(Index left_out) {
  std::array<double, kPoints> polynomial = {1};
  for (Index root = 0; root < kFinite; ++root) {
    if (root == left_out) continue;
    for (std::size_t power = kPoints - 1; power > 0; --power) {
      polynomial[power] =
          polynomial[power - 1] - kPlaces[static_cast<std::size_t>(root)] * polynomial[power];
    }
    polynomial[0] *= -kPlaces[static_cast<std::size_t>(root)];
  }
  return polynomial;
}

std::vector<float> transposed(const std::vector<float>& matrix, Index columns) {
  const std::size_t width = static_cast<std::size_t>(columns), height = matrix.size() / width;
  std::vector<float> out(matrix.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = matrix[i % height * width + i / height];
  return out;
}

constexpr Index kGradientWindows = 128;  // of x and dz, in cache for a group of squares

// Numbers of a panel's filters at a point, times points, that leave room in the second cache.
constexpr Index kPanelNumbers = Index{96} << 10;
constexpr Index kGroupNumbers = Index{256} << 10;  // of a group of tiles

}  // namespace

// Toom-Cook: interpolation, transposed. With p the points, N_i = prod_{j != i} (p_i - p_j):
//   D_i = coefficients of prod_{j != i} (x - p_j),  F_ik = p_i^k / N_i,  A_oi = p_i^o,
// and at infinity the highest coefficients.
FilterMatrices::FilterMatrices(Index tap_count) : taps(tap_count), outputs(kPoints + 1 - taps) {
  for (Index point = 0; point < kPoints; ++point) {
    const std::array<double, kPoints> polynomial = product_of_roots(point);
    for (const double coefficient : polynomial) input.push_back(static_cast<float>(coefficient));
    double power = 1;
    if (point < kFinite) {
      const double place = kPlaces[static_cast<std::size_t>(point)];
      for (Index other = 0; other < kFinite; ++other) {
        if (other != point) power /= place - kPlaces[static_cast<std::size_t>(other)];
      }
    }
    const auto powers = [&](std::vector<float>& row, Index count, double first) {
      for (Index k = 0; k < count; ++k) {
        if (point == kFinite) {
          row.push_back(k == count - 1 ? 1.0F : 0.0F);
        } else {
          row.push_back(static_cast<float>(first));
          first *= kPlaces[static_cast<std::size_t>(point)];
        }
      }
    };
    powers(filter, taps, power);
    powers(output_transposed, outputs, 1);
  }
  filter_transposed = transposed(filter, taps);
  output = transposed(output_transposed, outputs);
}

// A product's tiles and panels, cut by the shape alone. What stays in the second cache are a
// group's rows and a panel's filters, of as many points at a time as there is room for; where these
// are not all, a group's sums are kept.
struct MinimalFilter::Grid {
  Grid(Index window_count, Index tile_rows, Index block_count, Index panel_count)
      : blocks(block_count),
        windows{window_count, tile_rows},
        points(points_for(block_count)),
        tiles{windows.count(),
              std::clamp<Index>(kGroupNumbers / (points * blocks * tile_rows * kBlock), 1,
                                (windows.count() + 3) / 4)},
        panels{panel_count, std::max<Index>(1, panel_count * tiles.count() / 32)} {}
  static Index points_for(Index blocks) {
    for (const Index points : {Index{6}, Index{3}, Index{2}}) {
      if (points * blocks * kPair <= kPanelNumbers) return points;
    }
    return 1;
  }
  Index count() const { return tiles.count() * panels.count(); }

  Index blocks;
  Chunks windows;
  Index points;
  Chunks tiles, panels;
};

// Measured with AVX-512: below that transforms cost what products save. Two taps save least.
bool MinimalFilter::serves(const ConvShape& shape, Index tokens) {
  constexpr Index kLeastTokens = 128;
  const Index least = shape.taps == 2 ? 256 : 96;
  return can_serve(shape) && tokens >= kLeastTokens && std::min(shape.in, shape.columns()) >= least;
}

Index MinimalFilter::groups(const ConvShape& shape, const BlockedActivations& x,
                            Index blocks) const {
  const Chunks windows = {x.span(), kPoints + 1 - shape.taps};
  return Grid(windows.count(), kernels_.tile_rows, blocks, 1).tiles.count();
}

void MinimalFilter::forward(const BlockedActivations& x, const ProductWeights& w,
                            const Take& take) {
  const FilterMatrices matrices(w.shape.taps);
  const Chunks steps = {x.span(), matrices.outputs};
  const Grid grid(steps.count(), kernels_.tile_rows, w.input_blocks, w.panels);
  transform_rows(x, -w.shape.reach(), grid.blocks, matrices.outputs, grid.windows);
  float* filters = grown(filters_, w.panels * kPoints * grid.blocks * kPair);
  pool_.run(w.panels, [&](Index panel, int) {
    for (Index block = 0; block < grid.blocks; ++block) {
      kernels_.combine({.in = w.read() + w.offset(panel, block, 0),
                        .in_pitch = kPair,
                        .in_step = kBlock,
                        .inputs = w.shape.taps,
                        .out = filters + (panel * kPoints * grid.blocks + block) * kPair,
                        .out_pitch = grid.blocks * kPair,
                        .out_step = kBlock,
                        .outputs = kPoints,
                        .factors = matrices.filter.data(),
                        .factor_pitch = w.shape.taps,
                        .lines = kPair / kBlock,
                        .add = false});
    }
  });
  multiply(grid, matrices, x.span(), take);
}

// dx[r] = sum_j dz[r + j] W_{k-1-j}^T: the same with inputs and columns exchanged.
void MinimalFilter::backward_data(const BlockedActivations& dz, const ProductWeights& w,
                                  const Take& take) {
  const FilterMatrices matrices(w.shape.taps);
  const Index taps = w.shape.taps, panels = (w.input_blocks + 1) / 2;
  const Chunks steps = {dz.span(), matrices.outputs};
  const Grid grid(steps.count(), kernels_.tile_rows, w.column_blocks, panels);
  transform_rows(dz, 0, grid.blocks, matrices.outputs, grid.windows);
  float* filters = grown(filters_, panels * kPoints * grid.blocks * kPair);
  pool_.run(w.column_blocks, [&](Index block, int) {
    alignas(64) float squares[(kPoints - 1) * kSquare];
    for (Index input = 0; input < 2 * panels; ++input) {
      for (Index tap = 0; tap < taps; ++tap) {
        float* to = squares + (taps - 1 - tap) * kSquare;
        if (input == w.input_blocks) {
          std::fill_n(to, kSquare, 0.0F);
        } else {
          kernels_.transpose(w.read() + w.offset(block / 2, input, tap) + block % 2 * kSquare, to);
        }
      }
      kernels_.combine({.in = squares,
                        .in_pitch = kSquare,
                        .in_step = kBlock,
                        .inputs = taps,
                        .out = filters + (input / 2 * kPoints * grid.blocks + block) * kPair +
                               input % 2 * kSquare,
                        .out_pitch = grid.blocks * kPair,
                        .out_step = kBlock,
                        .outputs = kPoints,
                        .factors = matrices.filter.data(),
                        .factor_pitch = taps,
                        .lines = kBlock,
                        .add = false});
    }
  });
  multiply(grid, matrices, dz.span(), take);
}

void MinimalFilter::transform_rows(const BlockedActivations& x, Index first, Index blocks,
                                   Index step, const Chunks& windows) {
  const FilterMatrices matrices(kPoints + 1 - step);
  float* out = grown(rows_, windows.count() * kPoints * blocks * windows.size * kBlock);
  pool_.run(windows.count(), [&](Index piece, int) {
    for (Index block = 0; block < blocks; ++block) {
      kernels_.combine({.in = x.at(block, first + windows.begin(piece) * step),
                        .in_pitch = kBlock,
                        .in_step = step * kBlock,
                        .inputs = kPoints,
                        .out = out + (piece * kPoints * blocks + block) * windows.size * kBlock,
                        .out_pitch = blocks * windows.size * kBlock,
                        .out_step = kBlock,
                        .outputs = kPoints,
                        .factors = matrices.input.data(),
                        .factor_pitch = kPoints,
                        .lines = windows.length(piece),
                        .add = false});
    }
  });
}

void MinimalFilter::multiply(const Grid& grid, const FilterMatrices& matrices, Index span,
                             const Take& take) {
  const Index per_tile = kMostRows * matrices.outputs * kPanel;
  // Of all points at once nothing is kept.
  const bool keeps = grid.points < kPoints;
  reserve_workers(keeps ? grid.panels.size * grid.tiles.size * per_tile : per_tile);
  pool_.run(grid.count(), [&](Index chunk, int worker) {
    const Index group = chunk / grid.panels.count(), part = chunk % grid.panels.count();
    for (Index point = 0; point < kPoints; point += grid.points) {
      float* out = worker_memory(worker);
      for (Index panel = grid.panels.begin(part); panel < grid.panels.end(part); ++panel) {
        for (Index piece = grid.tiles.begin(group); piece < grid.tiles.end(group); ++piece) {
          multiply_panel(grid, piece, panel, point, matrices, out);
          if (point + grid.points == kPoints) {
            const Index row = grid.windows.begin(piece) * matrices.outputs;
            const Index rows = grid.windows.length(piece) * matrices.outputs;
            take(group, panel, {row, std::min(rows, span - row)}, out);
          }
          if (keeps) out += per_tile;
        }
      }
    }
  });
}

void MinimalFilter::multiply_panel(const Grid& grid, Index piece, Index panel, Index first_point,
                                   const FilterMatrices& matrices, float* out) const {
  alignas(64) float z[kPoints * kMostRows * kPanel];
  const Index per_point = grid.blocks * grid.windows.size * kBlock;
  for (Index i = 0; i < grid.points; ++i) {
    const Index point = first_point + i;
    kernels_.product({.a = rows_.data() + (piece * kPoints + point) * per_point,
                      .a_chunk = grid.windows.size * kBlock,
                      .a_tap = 0,
                      .b = filters_.data() + (panel * kPoints + point) * grid.blocks * kPair,
                      .b_chunk = kPair,
                      .chunks = grid.blocks,
                      .taps = 1,
                      .rows = grid.windows.length(piece),
                      .out = z + i * kMostRows * kPanel,
                      .add = false});
  }
  for (const Index half : {Index{0}, kBlock}) {
    kernels_.combine({.in = z + half,
                      .in_pitch = kMostRows * kPanel,
                      .in_step = kPanel,
                      .inputs = grid.points,
                      .out = out + half,
                      .out_pitch = kPanel,
                      .out_step = matrices.outputs * kPanel,
                      .outputs = matrices.outputs,
                      .factors = matrices.output.data() + first_point,
                      .factor_pitch = kPoints,
                      .lines = grid.windows.length(piece),
                      .add = first_point > 0});
  }
}

void MinimalFilter::prepare_gradient(const BlockedActivations& x, const ProductWeights& w,
                                     Index most_panels, Index most_blocks) {
  const Index outputs = kPoints + 1 - w.shape.taps;
  const Chunks steps = {x.span(), outputs};
  transform_rows(x, -w.shape.reach(), w.input_blocks, outputs, {steps.count(), kGradientWindows});
  reserve_workers(most_panels * (2 * steps.count() * kBlock + kPoints * most_blocks * kPair));
}

// One point after the other, so that what is added to stays in cache.
void MinimalFilter::gradient(const BlockedActivations& dz, const ProductWeights& w,
                             const WeightGradient::Part& part, int worker) {
  const FilterMatrices matrices(w.shape.taps);
  const Chunks steps = {dz.span(), matrices.outputs};
  const Chunks windows = {steps.count(), kGradientWindows};
  const Index panels = part.end_panel - part.first_panel;
  const Index blocks = part.end_block - part.first_block, per_block = windows.total * kBlock;
  float* spread = worker_memory(worker);          // [panels][2][windows][16]
  float* sums = spread + panels * 2 * per_block;  // [points][panels][blocks][2][16][16]
  for (Index point = 0; point < kPoints; ++point) {
    for (Index i = 0; i < 2 * panels; ++i) {
      const Index block = std::min(2 * part.first_panel + i, w.column_blocks - 1);
      kernels_.combine({.in = dz.at(block, 0),
                        .in_pitch = kBlock,
                        .in_step = matrices.outputs * kBlock,
                        .inputs = matrices.outputs,
                        .out = spread + i * per_block,
                        .out_pitch = 0,
                        .out_step = kBlock,
                        .outputs = 1,
                        .factors = matrices.output_transposed.data() + point * matrices.outputs,
                        .factor_pitch = 0,
                        .lines = windows.total,
                        .add = false});
    }
    for (Index piece = 0; piece < windows.count(); ++piece) {
      for (Index panel = 0; panel < panels; ++panel) {
        const float* first = spread + 2 * panel * per_block + windows.begin(piece) * kBlock;
        for (Index block = 0; block < blocks; ++block) {
          kernels_.gradient({.x = rows_.data() + ((piece * kPoints + point) * w.input_blocks +
                                                  part.first_block + block) *
                                                     windows.size * kBlock,
                             .y = {first, first + per_block},
                             .rows = windows.length(piece),
                             .out = sums + ((point * panels + panel) * blocks + block) * kPair,
                             .add = piece > 0});
        }
      }
    }
  }
  for (Index panel = 0; panel < panels; ++panel) {
    for (Index block = 0; block < blocks; ++block) {
      kernels_.combine({.in = sums + (panel * blocks + block) * kPair,
                        .in_pitch = panels * blocks * kPair,
                        .in_step = kBlock,
                        .inputs = kPoints,
                        .out = w.v()[Array::kGradient] +
                               w.offset(part.first_panel + panel, part.first_block + block, 0),
                        .out_pitch = kPair,
                        .out_step = kBlock,
                        .outputs = matrices.taps,
                        .factors = matrices.filter_transposed.data(),
                        .factor_pitch = kPoints,
                        .lines = kPair / kBlock,
                        .add = w.has_gradient});
    }
  }
}

void MinimalFilter::reserve_workers(Index size) {
  workers_.resize(static_cast<std::size_t>(pool_.size()));
  for (AlignedBuffer& buffer : workers_) grown(buffer, size);
}

}  // namespace sluice::kernels::simd
