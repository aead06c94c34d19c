// Parameters: steps, norms, and what is derived from values. Arrays are walked in memory order,
// once.
#include <algorithm>
#include <cmath>

#include "src/kernels/chunks.h"
#include "src/kernels/gain.h"
#include "src/kernels/simd/simd_backend.h"

namespace sluice::kernels::simd {
namespace {

Run run_of(const Slices& slices, Index begin) {
  const auto at = [&](Array array) {
    float* values = slices[array];
    return values == nullptr ? nullptr : values + begin;
  };
  return {.value = at(Array::kValue),
          .gradient = at(Array::kGradient),
          .state0 = at(Array::kState0),
          .state1 = at(Array::kState1),
          .average = at(Array::kAverage)};
}

// Floors a squared norm, so that a column of zeros has a scale, and returns it: s = g / |v|.
float floor_and_scale(double& norm2, float gain) {
  norm2 = std::max(norm2, 1e-30);
  return static_cast<float>(static_cast<double>(floored(gain)) / std::sqrt(norm2));
}

// A table's rows, for its ledger: the cache lines of a row lie a square apart.
class TableStepper : public RowStepper {
 public:
  TableStepper(const TableWeights& w, const Kernels& kernels) : w_(w), kernels_(kernels) {}

  void step(const UpdateRule& rule, Index begin, Index end, bool with_gradient) const override {
    const PreparedStep prepared(rule);
    const bool normed = w_.g() != nullptr;
    const double decay = normed ? rule.other_decay : rule.matrix_decay;
    const auto run_at = [&](Index row) {
      Run run = run_of(w_.v(), w_.element(row, 0));
      if (!with_gradient) run.gradient = nullptr;
      return run;
    };
    for (Index row = begin; row < end;) {
      if (row % kBlock == 0 && row + kBlock <= end && !normed) {
        kernels_.update(prepared, decay, run_at(row), w_.row_size(), nullptr, 1, w_.row_size());
        row += kBlock;
        continue;
      }
      float share[kBlock];
      if (normed) {
        const auto at = static_cast<std::size_t>(row);
        std::fill_n(share, kBlock, static_cast<float>(w_.dot[at] / w_.norm2[at]));
      }
      kernels_.update(prepared, decay, run_at(row), kBlock,
                      normed && with_gradient ? share : nullptr, w_.width_blocks, kSquare);
      ++row;
    }
  }

  bool at_rest(Index row) const override {
    const auto zero = [](float value) { return value == 0 && !std::signbit(value); };
    for (Index block = 0; block < w_.width_blocks; ++block) {
      const Run run = run_of(w_.v(), w_.element(row, block * kBlock));
      if (!std::all_of(run.state0, run.state0 + kBlock, zero)) return false;
      if (run.average != nullptr && !std::equal(run.value, run.value + kBlock, run.average)) {
        return false;
      }
    }
    return true;
  }

 private:
  const TableWeights& w_;
  const Kernels& kernels_;
};

}  // namespace

PreparedStep::PreparedStep(const UpdateRule& step) : rule(step) {
  if (step.kind != UpdateKind::kAdam && step.kind != UpdateKind::kAdamw) return;
  const double t = static_cast<double>(step.step);
  moment_correction = 1 - std::pow(step.momentum, t);
  square_correction = 1 - std::pow(step.beta2, t);
}

void SimdBackend::refresh(Weights& weights) {
  if (auto* product = dynamic_cast<ProductWeights*>(&weights)) {
    product->drop = {};
    product->derives_late = false;
    pool_.run(product->panels, [&](Index panel, int) { refresh_panel(*product, panel); });
    finish_product(*product);
  } else if (dynamic_cast<NormWeights*>(&weights) != nullptr) {
    weights.stale = false;
  } else {
    refresh_table(static_cast<TableWeights&>(weights));
  }
}

void SimdBackend::refresh_panel(ProductWeights& w, Index panel) {
  if (w.g() == nullptr) return;
  double* sums = w.norm2.data() + panel * kPanel;
  std::fill_n(sums, kPanel, 0);
  const float* v = w.v()[Array::kValue] + w.offset(panel, 0, 0);
  for (Index at = 0; at < w.panel_size(); at += kSquare) {
    kernels_.add_dots(v + at, v + at, kSquare, sums + at / kSquare % 2 * kBlock);
  }
}

// Once all panels are refreshed.
void SimdBackend::finish_product(ProductWeights& w) {
  w.narrow = nullptr;
  w.stale = false;
  for (Index column = 0; column < w.shape.columns() && w.b() != nullptr; ++column) {
    w.biases.data()[w.place(column)] = (*w.b())[Array::kValue][column];
  }
  set_scales(w);
}

void SimdBackend::set_scales(ProductWeights& w) {
  const bool drops = w.drop.rate > 0;
  if (w.g() == nullptr) {
    w.scales = drops ? AlignedBuffer(w.panels * kPanel) : AlignedBuffer();
    std::fill_n(w.scales.data(), w.scales.size(), static_cast<float>(w.drop.keep()));
    return;
  }
  for (Index column = 0; column < w.shape.columns(); ++column) {
    const Index place = w.place(column);
    float& scale = w.scales.data()[place];
    scale =
        floor_and_scale(w.norm2[static_cast<std::size_t>(place)], (*w.g())[Array::kValue][column]);
    if (drops) scale = static_cast<float>(static_cast<double>(scale) * w.drop.keep());
  }
}

void SimdBackend::refresh_table(TableWeights& w) {
  w.narrow = nullptr;
  w.stale = false;
  if (w.g() == nullptr) return;
  const Chunks rows = w.row_chunks();
  pool_.run(rows.count(), [&](Index chunk, int) {
    for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      double norm2 = 0;
      for (Index block = 0; block < w.width_blocks; ++block) {
        norm2 +=
            kernels_.sum_of_squares(w.v()[Array::kValue] + w.element(row, block * kBlock), kBlock);
      }
      const auto at = static_cast<std::size_t>(row);
      w.scale[at] = floor_and_scale(norm2, (*w.g())[Array::kValue][row]);
      w.norm2[at] = norm2;
    }
  });
}

double SimdBackend::squared_norm_of(const float* values, Index size) const {
  const Chunks chunks = {size, kRun};
  std::vector<double> partial(static_cast<std::size_t>(chunks.count()));
  pool_.run(chunks.count(), [&](Index chunk, int) {
    partial[static_cast<std::size_t>(chunk)] =
        kernels_.sum_of_squares(values + chunks.begin(chunk), chunks.length(chunk));
  });
  double sum = 0;
  for (const double part : partial) sum += part;
  return sum;
}

double SimdBackend::squared_norm(const Weights& weights) {
  if (const auto* norm = dynamic_cast<const NormWeights*>(&weights)) {
    return squared_norm_of_norm(*norm);
  }
  const auto* w = dynamic_cast<const ProductWeights*>(&weights);
  if (w == nullptr) return squared_norm_of_table(static_cast<const TableWeights&>(weights));
  double sum = 0;
  const Index columns = w->shape.columns();
  if (w->has_gradient) {
    sum += w->gradient_norm2.has_value()
               ? *w->gradient_norm2
               : squared_norm_of(w->v()[Array::kGradient], w->panels * w->panel_size());
  }
  if (w->has_gradient && w->g() != nullptr) {
    sum = std::max(sum - radial_part(w->dot, w->norm2), 0.0) +
          squared_norm_of((*w->g())[Array::kGradient], columns);
  }
  if (w->has_bias_gradient) sum += squared_norm_of((*w->b())[Array::kGradient], columns);
  return sum;
}

double SimdBackend::squared_norm_of_table(const TableWeights& w) const {
  const Chunks rows = w.row_chunks();
  std::vector<double> partial(static_cast<std::size_t>(rows.count()));
  pool_.run(rows.count(), [&](Index chunk, int) {
    double total = 0;
    for (Index row = rows.begin(chunk); row < rows.end(chunk); ++row) {
      // All 16 rows of squares at once, where that gives the same sum.
      if (w.g() == nullptr && row % kBlock == 0 && row + kBlock <= rows.end(chunk) &&
          w.ledger.has_gradients(row, row + kBlock)) {
        total += kernels_.sum_of_squares(w.v()[Array::kGradient] + w.element(row, 0), w.row_size());
        row += kBlock - 1;
        continue;
      }
      if (!w.ledger.has_gradient(row)) continue;
      double square = 0;
      for (Index block = 0; block < w.width_blocks; ++block) {
        square += kernels_.sum_of_squares(w.v()[Array::kGradient] + w.element(row, block * kBlock),
                                          kBlock);
      }
      if (w.g() != nullptr) {
        const auto at = static_cast<std::size_t>(row);
        const double gain = static_cast<double>((*w.g())[Array::kGradient][row]);
        square = std::max(square - w.dot[at] * w.dot[at] / w.norm2[at], 0.0) + gain * gain;
      }
      total += square;
    }
    partial[static_cast<std::size_t>(chunk)] = total;
  });
  double sum = 0;
  for (const double part : partial) sum += part;
  if (w.has_bias_gradient) sum += squared_norm_of((*w.b())[Array::kGradient], w.shape.rows);
  return sum;
}

void SimdBackend::update(Weights& weights, const UpdateRule& rule) {
  if (auto* product = dynamic_cast<ProductWeights*>(&weights)) {
    update_product(*product, rule);
  } else if (auto* norm = dynamic_cast<NormWeights*>(&weights)) {
    update_norm(*norm, rule);
  } else {
    auto& table = static_cast<TableWeights&>(weights);
    update_table(table, rule);
    refresh_table(table);
  }
  discard_gradient(weights);
}

void SimdBackend::update_plain(const Slices& slices, Index size, const UpdateRule& rule,
                               double decay) {
  const Chunks chunks = {size, kRun};
  const PreparedStep step(rule);
  pool_.run(chunks.count(), [&](Index chunk, int) {
    const Index length = chunks.length(chunk);
    kernels_.update(step, decay, run_of(slices, chunks.begin(chunk)), length, nullptr, 1, length);
  });
}

void SimdBackend::update_product(ProductWeights& w, const UpdateRule& rule) {
  const Index columns = w.shape.columns();
  w.derives_late = w.drop.rate > 0;
  w.drop = {};
  if (!w.has_gradient) {
    std::fill_n(w.v()[Array::kGradient], w.panels * w.panel_size(), 0.0F);
    if (w.g() != nullptr) std::fill_n((*w.g())[Array::kGradient], columns, 0.0F);
    std::fill(w.dot.begin(), w.dot.end(), 0);
  }
  if (w.b() != nullptr) {
    if (!w.has_bias_gradient) std::fill_n((*w.b())[Array::kGradient], columns, 0.0F);
    update_plain(*w.b(), columns, rule, rule.other_decay);
  }
  // v under weight norm: the true gradient is dw' - v (dw' . v) / |v|^2, column by column.
  std::vector<float> share(w.dot.size());
  for (std::size_t at = 0; at < share.size(); ++at) {
    if (w.norm2[at] > 0) share[at] = static_cast<float>(w.dot[at] / w.norm2[at]);
  }
  const bool normed = w.g() != nullptr;
  const double decay = normed ? rule.other_decay : rule.matrix_decay;
  const PreparedStep step(rule);
  // What follows from the values is made while a panel is in cache.
  pool_.run(w.panels, [&](Index panel, int) {
    for (Index at = 0; at < w.panel_size(); at += kSquare) {
      const Index half = at / kSquare % 2;
      kernels_.update(step, decay, run_of(w.v(), w.offset(panel, 0, 0) + at), kSquare,
                      normed ? share.data() + panel * kPanel + half * kBlock : nullptr, 1, kSquare);
    }
    refresh_panel(w, panel);
  });
  if (normed) update_plain(*w.g(), columns, rule, rule.matrix_decay);
  finish_product(w);
}

void SimdBackend::update_table(TableWeights& w, const UpdateRule& rule) {
  const bool may_wait = updates_ == RowUpdates::kLazy && w.g() == nullptr;
  w.ledger.update(pool_, rule, may_wait, TableStepper(w, kernels_));
  if (w.g() != nullptr) {
    for (Index row = 0; row < w.shape.rows; ++row) {
      if (!w.ledger.has_gradient(row)) (*w.g())[Array::kGradient][row] = 0;
    }
    update_plain(*w.g(), w.shape.rows, rule, rule.matrix_decay);
  }
  if (w.b() == nullptr) return;
  if (!w.has_bias_gradient) std::fill_n((*w.b())[Array::kGradient], w.shape.rows, 0.0F);
  update_plain(*w.b(), w.shape.rows, rule, rule.other_decay);
}

void SimdBackend::catch_up(const Weights& weights) {
  const auto* table = dynamic_cast<const TableWeights*>(&weights);
  if (table != nullptr) table->ledger.catch_up(pool_, TableStepper(*table, kernels_));
}

void SimdBackend::catch_up_range(const TableWeights& w, Index begin, Index end) const {
  w.ledger.catch_up(pool_, TableStepper(w, kernels_), begin, end);
}

void SimdBackend::catch_up_rows(const TableWeights& w, std::span<const int> rows) const {
  w.ledger.catch_up(pool_, TableStepper(w, kernels_), rows);
}

void SimdBackend::catch_up_words(std::span<const TableRows> words) const {
  for (const TableRows& part : words) {
    catch_up_range(static_cast<const TableWeights&>(*part.table), part.begin, part.end);
  }
}

void SimdBackend::discard_gradient(Weights& weights) {
  weights.has_gradient = false;
  weights.has_bias_gradient = false;
  if (auto* table = dynamic_cast<TableWeights*>(&weights)) {
    table->ledger.forget_gradients();
  } else if (auto* product = dynamic_cast<ProductWeights*>(&weights)) {
    drop(*product, {});
  }
}

}  // namespace sluice::kernels::simd
