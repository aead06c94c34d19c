#include "src/kernels/simd/simd_backend.h"

#include <algorithm>
#include <cassert>

#include "src/kernels/simd/resolved_junction.h"

namespace sluice::kernels::simd {
namespace {

// Calls visit(place in the layout, place in logical order) for every element of v.
template <class Visit>
void each_element(const ProductWeights& w, const Visit& visit) {
  const Index columns = w.shape.columns();
  for (Index tap = 0; tap < w.shape.taps; ++tap) {
    for (Index in = 0; in < w.shape.in; ++in) {
      for (Index column = 0; column < columns; ++column) {
        visit(w.element(tap, in, column), (tap * w.shape.in + in) * columns + column);
      }
    }
  }
}

template <class Visit>
void each_element(const TableWeights& w, const Visit& visit) {
  for (Index row = 0; row < w.shape.rows; ++row) {
    for (Index k = 0; k < w.shape.width; ++k) visit(w.element(row, k), row * w.shape.width + k);
  }
}

// dL/dv = dw' - v (dw' . v) / |v|^2; without a gradient zero.
void store_gradient(const ProductWeights& w, std::span<Real> logical) {
  if (!w.has_gradient) return std::fill(logical.begin(), logical.end(), 0.0F);
  const float *v = w.v()[Array::kValue], *gradient = w.v()[Array::kGradient];
  each_element(w, [&](Index place, Index at) {
    float value = gradient[place];
    if (w.g() != nullptr) {
      const auto column = static_cast<std::size_t>(w.place(at % w.shape.columns()));
      value -= static_cast<float>(v[place] * w.dot[column] / w.norm2[column]);
    }
    logical[static_cast<std::size_t>(at)] = value;
  });
}

void store_gradient(const TableWeights& w, std::span<Real> logical) {
  const float *v = w.v()[Array::kValue], *gradient = w.v()[Array::kGradient];
  each_element(w, [&](Index place, Index at) {
    const Index row = at / w.shape.width;
    const auto number = static_cast<std::size_t>(row);
    float value = w.ledger.has_gradient(row) ? gradient[place] : 0;
    if (w.ledger.has_gradient(row) && w.g() != nullptr) {
      value -= static_cast<float>(v[place] * w.dot[number] / w.norm2[number]);
    }
    logical[static_cast<std::size_t>(at)] = value;
  });
}

template <class W>
void store_array(const W& w, Array array, std::span<Real> logical) {
  if (array == Array::kGradient) return store_gradient(w, logical);
  const float* from = w.v()[array];
  each_element(w,
               [&](Index place, Index at) { logical[static_cast<std::size_t>(at)] = from[place]; });
}

template <class W>
void load_array(W& w, Array array, std::span<const Real> logical) {
  float* to = w.v()[array];
  each_element(w,
               [&](Index place, Index at) { to[place] = logical[static_cast<std::size_t>(at)]; });
}

}  // namespace

ProductWeights::ProductWeights(const ConvShape& conv, const Slices& v, const Slices* g,
                               const Slices* b)
    : Weights(v, g, b),
      shape(conv),
      input_blocks(blocks_of(conv.in)),
      column_blocks(conv.paired ? 2 * blocks_of(conv.out) : blocks_of(conv.out)),
      panels((column_blocks + 1) / 2) {
  const auto places = static_cast<std::size_t>(panels * kPanel);
  if (b != nullptr) biases = AlignedBuffer(panels * kPanel);
  if (g == nullptr) return;
  scales = AlignedBuffer(panels * kPanel);
  norm2.resize(places);
  dot.resize(places);
}

Index ProductWeights::elements(const ConvShape& shape) {
  const Index columns = shape.paired ? 2 * blocks_of(shape.out) : blocks_of(shape.out);
  return (columns + 1) / 2 * blocks_of(shape.in) * shape.taps * kPair;
}

TableWeights::TableWeights(const TableShape& table, const Slices& v, const Slices* g,
                           const Slices* b)
    : Weights(v, g, b),
      shape(table),
      width_blocks(blocks_of(table.width)),
      ledger(row_chunks(table)) {
  if (g == nullptr) return;
  norm2.resize(static_cast<std::size_t>(table.rows));
  dot.resize(norm2.size());
  scale.resize(norm2.size());
}

Index TableWeights::elements(const TableShape& shape) {
  return blocks_of(shape.rows) * blocks_of(shape.width) * kSquare + kSquare;
}

std::unique_ptr<Activations> SimdBackend::activations(const RowMap& map, Index channels,
                                                      Form form) {
  return std::make_unique<BlockedActivations>(map, channels, form, tile_rows_);
}

std::unique_ptr<Activations> SimdBackend::activations(const Selection& selection, Index channels,
                                                      Form form) {
  return std::make_unique<BlockedActivations>(selection, channels, form, tile_rows_);
}

void SimdBackend::reshape(Activations& x, const RowMap& map) { blocked(x).reshape(map); }

std::unique_ptr<Weights> SimdBackend::weights(const ConvShape& shape, const Slices& v,
                                              const Slices* g, const Slices* b) {
  return std::make_unique<ProductWeights>(shape, v, g, b);
}

std::unique_ptr<Weights> SimdBackend::table(const TableShape& shape, const Slices& v,
                                            const Slices* g, const Slices* b) {
  return std::make_unique<TableWeights>(shape, v, g, b);
}

void SimdBackend::load(Weights& weights, Array array, std::span<const Real> logical) {
  catch_up(weights);
  if (auto* table = dynamic_cast<TableWeights*>(&weights)) {
    if (array == Array::kGradient) {
      table->ledger.touch(0, table->shape.rows, [](Index) {});
      table->has_gradient = true;
    }
    load_array(*table, array, logical);
  } else {
    auto& product = static_cast<ProductWeights&>(weights);
    if (array == Array::kGradient) product.gradient_norm2.reset();
    load_array(product, array, logical);
  }
  weights.stale = true;
}

void SimdBackend::store(const Weights& weights, Array array, std::span<Real> logical) const {
  if (const auto* table = dynamic_cast<const TableWeights*>(&weights)) {
    catch_up_range(*table, 0, table->shape.rows);
    store_array(*table, array, logical);
  } else {
    store_array(static_cast<const ProductWeights&>(weights), array, logical);
  }
}

void SimdBackend::load(Activations& to, std::span<const Real> logical) {
  BlockedActivations& x = blocked(to);
  assert(static_cast<Index>(logical.size()) == to.tokens() * x.channels());
  x.paired = false;
  const std::vector<std::int32_t>& token = x.token_of();
  for (Index row = 0; row < x.span(); ++row) {
    const Index at = token[static_cast<std::size_t>(row)];
    if (at < 0) continue;
    for (Index block = 0; block < x.blocks(); ++block) std::fill_n(x.at(block, row), kBlock, 0.0F);
    for (Index c = 0; c < x.channels(); ++c) {
      x.value(row, c) = logical[static_cast<std::size_t>(at * x.channels() + c)];
    }
  }
  to.written = true;
}

void SimdBackend::store(const Activations& from, std::span<Real> logical) const {
  const BlockedActivations& x = blocked(from);
  assert(static_cast<Index>(logical.size()) == from.tokens() * x.channels());
  const std::vector<std::int32_t>& token = x.token_of();
  for (Index row = 0; row < x.span(); ++row) {
    const Index at = token[static_cast<std::size_t>(row)];
    if (at < 0) continue;
    for (Index c = 0; c < x.channels(); ++c) {
      logical[static_cast<std::size_t>(at * x.channels() + c)] = x.value(row, c);
    }
  }
}

void SimdBackend::gather(const Activations& x, Activations& out) {
  const BlockedActivations &from = blocked(x), &to = blocked(out);
  assert(out.selection() != nullptr && out.selection()->source == x.map());
  std::vector<Index> rows(static_cast<std::size_t>(to.span()));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    rows[row] = from.row_of(to.position(static_cast<Index>(row)));
  }
  pool_.run(blocks_of(from.channels()), [&](Index block, int) {
    for (std::size_t row = 0; row < rows.size(); ++row) {
      std::copy_n(from.at(block, rows[row]), kBlock, to.at(block, static_cast<Index>(row)));
    }
  });
  out.written = true;
}

void SimdBackend::carry_context(const Activations& from, Activations& to,
                                std::span<const Index> sources) {
  const BlockedActivations &source = blocked(from), &target = blocked(to);
  assert(from.map().context == to.map().context && from.channels() == to.channels());
  assert(sources.empty()
             ? from.map().sequences == to.map().sequences
             : to.map().sequences == static_cast<Index>(sources.size()) && &from != &to);
  const Index context = from.map().context;
  for (Index sequence = 0; sequence < to.map().sequences; ++sequence) {
    const Index origin = sources.empty() ? sequence : sources[static_cast<std::size_t>(sequence)];
    assert(origin >= -1 && origin < from.map().sequences);
    if (origin < 0) continue;
    for (Index block = 0; block < blocks_of(from.channels()); ++block) {
      // The target lies before the source when both are one array: copy forward.
      const float* last = source.at(block, origin * source.pitch() + from.map().time - context);
      std::copy_n(last, context * kBlock, target.at(block, sequence * target.pitch() - context));
    }
  }
}

void SimdBackend::clear_context(Activations& to) {
  const BlockedActivations& target = blocked(to);
  const Index context = to.map().context;
  for (Index sequence = 0; sequence < to.map().sequences; ++sequence) {
    for (Index block = 0; block < target.blocks(); ++block) {
      std::fill_n(target.at(block, sequence * target.pitch() - context), context * kBlock, 0.0F);
    }
  }
}

void SimdBackend::embed(const Weights& table, std::span<const int> ids, Junction& out) {
  const auto& w = static_cast<const TableWeights&>(table);
  const BlockedActivations& shape = blocked(out.output());
  assert(static_cast<Index>(ids.size()) == shape.tokens() && w.g() == nullptr);
  assert(std::all_of(ids.begin(), ids.end(),
                     [&](int id) { return id >= kDroppedWord && id < w.shape.rows; }));
  catch_up_rows(w, ids);
  const ResolvedJunction junction(out);
  const std::vector<std::int32_t>& token = shape.token_of();
  const std::vector<Tile>& tiles = shape.tiles();
  const Index panels = (w.width_blocks + 1) / 2;
  pool_.run(static_cast<Index>(tiles.size()), [&](Index chunk, int) {
    const Tile& tile = tiles[static_cast<std::size_t>(chunk)];
    alignas(64) float z[kMostRows * kPanel];
    for (Index panel = 0; panel < panels; ++panel) {
      for (Index r = 0; r < tile.rows; ++r) {
        const Index at = token[static_cast<std::size_t>(tile.row + r)];
        if (at < 0) continue;
        const Index id = ids[static_cast<std::size_t>(at)];
        for (Index half = 0; half < 2 && 2 * panel + half < w.width_blocks; ++half) {
          if (id == kDroppedWord) {
            std::fill_n(z + r * kPanel + half * kBlock, kBlock, 0.0F);
            continue;
          }
          std::copy_n(w.v()[Array::kValue] + w.element(id, (2 * panel + half) * kBlock), kBlock,
                      z + r * kPanel + half * kBlock);
        }
      }
      junction.forward(kernels_, panel, tile, z);
    }
  });
  junction.finish_forward();
}

void SimdBackend::embed_backward(const Activations& dz, std::span<const int> ids, Weights& table) {
  auto& w = static_cast<TableWeights&>(table);
  const BlockedActivations& from = blocked(dz);
  assert(w.g() == nullptr && ids.size() == static_cast<std::size_t>(dz.tokens()));
  // Tokens whose row nobody wrote before.
  std::vector<std::uint8_t> sets(ids.size());
  for (std::size_t token = 0; token < ids.size(); ++token) {
    if (ids[token] == kDroppedWord) continue;
    sets[token] = !w.ledger.touch(ids[token], ids[token] + 1, [](Index) {});
  }
  w.has_gradient = true;
  const std::vector<std::int32_t>& token_of = from.token_of();
  // Cut over channels, so that each sum has one writer that runs through the tokens in order.
  pool_.run(w.width_blocks, [&](Index block, int) {
    for (Index row = 0; row < from.span(); ++row) {
      if (token_of[static_cast<std::size_t>(row)] < 0) continue;
      const auto token = static_cast<std::size_t>(token_of[static_cast<std::size_t>(row)]);
      if (ids[token] == kDroppedWord) continue;
      float* to = w.v()[Array::kGradient] + w.element(ids[token], block * kBlock);
      const float* part = from.at(block, row);
      if (sets[token] != 0) {
        std::copy_n(part, kBlock, to);
      } else {
        for (Index c = 0; c < kBlock; ++c) to[c] += part[c];
      }
    }
  });
}

GateStatistics SimdBackend::gate_statistics(const Junction& junction) {
  const Gate gate = junction.gate;
  if (!has_openness(gate) || junction.saved == nullptr) return {};
  const BlockedActivations& saved = blocked(*junction.saved);
  const Index channels = saved.channels() / saved_per_channel(gate);
  std::vector<GateStatistics> parts(static_cast<std::size_t>(blocks_of(channels)));
  const std::vector<std::int32_t>& token_of = saved.token_of();
  pool_.run(blocks_of(channels), [&](Index block, int) {
    GateStatistics& part = parts[static_cast<std::size_t>(block)];
    const Index lanes = std::min(kBlock, channels - block * kBlock);
    for (Index row = 0; row < saved.span(); ++row) {
      if (token_of[static_cast<std::size_t>(row)] < 0) continue;
      const float* first = saved.at(is_paired(gate) ? 2 * block : block, row);
      const float* second = is_paired(gate) ? saved.at(2 * block + 1, row) : first;
      for (Index c = 0; c < lanes; ++c) {
        const float open = openness(gate, first[c], second[c]);
        part.sum += static_cast<double>(open);
        part.saturated += is_saturated(gate, open) ? 1 : 0;
      }
      part.units += static_cast<double>(lanes);
    }
  });
  GateStatistics all;
  for (const GateStatistics& part : parts) {
    all.sum += part.sum;
    all.saturated += part.saturated;
    all.units += part.units;
  }
  return all;
}

double SimdBackend::squared_norm(const Activations& x) {
  const BlockedActivations& rows = blocked(x);
  const std::vector<std::int32_t>& token_of = rows.token_of();
  std::vector<double> parts(static_cast<std::size_t>(rows.used_blocks()));
  pool_.run(rows.used_blocks(), [&](Index block, int) {
    for (Index row = 0; row < rows.span(); ++row) {
      if (token_of[static_cast<std::size_t>(row)] < 0) continue;
      parts[static_cast<std::size_t>(block)] +=
          kernels_.sum_of_squares(rows.at(block, row), kBlock);
    }
  });
  double sum = 0;
  for (const double part : parts) sum += part;
  return sum;
}

void SimdBackend::reserve_workers(Index size) {
  workers_.resize(static_cast<std::size_t>(pool_.size()));
  for (AlignedBuffer& buffer : workers_) grown(buffer, size);
}

std::unique_ptr<Backend> make_simd_backend(ThreadPool& pool, const Kernels& kernels,
                                           RowUpdates updates) {
  return std::make_unique<SimdBackend>(pool, kernels, updates, kernels.tile_rows);
}

}  // namespace sluice::kernels::simd
