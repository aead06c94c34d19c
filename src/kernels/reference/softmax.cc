// Softmax over the vocabulary in panels: a product, its row maxima and exponentials while it is in
// cache, then log-sum-exp over the panels. exp is computed once; backward rescales it.
#include <array>
#include <cassert>
#include <cmath>
#include <vector>

#include "reference_backend.h"
#include "sluice/base/memory.h"

namespace sluice::kernels::reference {
namespace {

// Words per panel: wide enough for an efficient product, several panels where V allows.
Index panel_width(Index vocabulary) {
  if (vocabulary <= 256) {
    const Index parts = (vocabulary + 63) / 64;
    return (vocabulary + parts - 1) / parts;
  }
  return std::clamp<Index>(((vocabulary + 7) / 8 + 63) / 64 * 64, 64, 1024);
}

constexpr Index kRowBlock = 256;

TableWeights& table_of(const TableRows& rows) { return static_cast<TableWeights&>(*rows.table); }

Index count(std::span<const TableRows> words) {
  Index total = 0;
  for (const TableRows& rows : words) total += rows.size();
  return total;
}

// A function of the shapes alone.
std::vector<Panel> cut(std::span<const TableRows> words, Index width) {
  std::vector<Panel> panels;
  Index word = 0;
  for (const TableRows& rows : words) {
    TableWeights& table = table_of(rows);
    assert(rows.begin >= 0 && rows.end <= table.shape.rows && !table.stale);
    assert(table.shape.width == table_of(words.front()).shape.width);
    const Chunks chunks = {rows.size(), width};
    for (Index i = 0; i < chunks.count(); ++i) {
      panels.push_back({.table = &table,
                        .begin = rows.begin + chunks.begin(i),
                        .length = chunks.length(i),
                        .first_word = word});
      word += chunks.length(i);
    }
  }
  return panels;
}

ConstStrided vectors(const Panel& panel) {
  const Index width = panel.table->shape.width;
  return {panel.table->v()[Array::kValue] + panel.begin * width, panel.length, width,
          Eigen::OuterStride<>(width)};
}

// z = x W_p^T + b_p for a panel of words.
void logits(const ConstStrided& x, const Panel& panel, Strided z) {
  const TableWeights& w = *panel.table;
  z.noalias() = x * vectors(panel).transpose();
  if (w.g() != nullptr) {
    z.array().rowwise() *= ConstRow(w.scale.data() + panel.begin, panel.length);
  }
  if (w.b() == nullptr) return;
  z.array().rowwise() += ConstRow((*w.b())[Array::kValue] + panel.begin, panel.length);
}

constexpr Index kWordsPerPanel = 512;  // of log_probabilities()

// out[i, words of the panel] for every row of x: in parts of the panel that stay in cache from row
// to row, each row by a product of its own, whose bits do not depend on the others.
void logits_row_by_row(const ConstStrided& x, const Panel& panel, Real* out, Index pitch) {
  const Index fitting = 4096 / std::max<Index>(1, x.cols()) / 8 * 8;
  const Chunks parts = {panel.length, std::max<Index>(8, fitting)};
  for (Index part = 0; part < parts.count(); ++part) {
    Panel words = panel;
    words.begin += parts.begin(part);
    words.first_word += parts.begin(part);
    words.length = parts.length(part);
    for (Index i = 0; i < x.rows(); ++i) {
      logits({x.data() + i * x.cols(), 1, x.cols(), Eigen::OuterStride<>(x.cols())}, words,
             {out + i * pitch + words.first_word, 1, words.length, Eigen::OuterStride<>(pitch)});
    }
  }
}

// In double: where one word has nearly all of the mass, float would drop the others. The lanes keep
// the additions independent of each other.
double sum_in_double(const Real* values, Index size) {
  constexpr Index kLanes = 8;
  std::array<double, kLanes> lanes{};
  const Index whole = size / kLanes * kLanes;
  for (Index i = 0; i < whole; i += kLanes) {
    for (Index lane = 0; lane < kLanes; ++lane) {
      lanes[static_cast<std::size_t>(lane)] += static_cast<double>(values[i + lane]);
    }
  }
  double sum = 0;
  for (Index i = whole; i < size; ++i) sum += static_cast<double>(values[i]);
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

void ReferenceBackend::softmax_forward(const Activations& x, std::span<const TableRows> words,
                                       std::span<const int> targets, std::span<double> nats,
                                       SoftmaxTape* keep) {
  const RowActivations& in = rows_of(x);
  const Index rows = in.span(), width = panel_width(count(words));
  assert(static_cast<Index>(targets.size()) == in.tokens() && nats.size() == targets.size());
  assert(std::all_of(targets.begin(), targets.end(), [&](int t) { return t < count(words); }));
  for (const TableRows& part : words) catch_up_rows(table_of(part), part.begin, part.end);
  const std::vector<Panel> panels = cut(words, width);
  const Chunks blocks = {rows, kRowBlock};
  auto* tape = static_cast<PanelTape*>(keep);
  LogSums local;
  LogSums& sums = tape != nullptr ? tape->sums : local;
  sums.resize(rows, panels.size());
  if (tape != nullptr) tape->resize(rows, panels);
  std::vector<double> panel_sum(sums.panel_max.size());
  reserve_scratch(kRowBlock * width);
  const Index panel_count = static_cast<Index>(panels.size());
  pool_.run(panel_count * blocks.count(), [&](Index chunk, int worker) {
    const Index index = chunk / blocks.count(), block = chunk % blocks.count();
    const Panel& panel = panels[static_cast<std::size_t>(index)];
    const Index first = blocks.begin(block), count = blocks.length(block), length = panel.length;
    Real* memory = tape != nullptr
                       ? tape->panels[static_cast<std::size_t>(index)].data() + first * length
                       : scratch(worker, kRowBlock * width);
    Strided z(memory, count, length, Eigen::OuterStride<>(length));
    logits(in.rows(first, count), panel, z);
    for (Index i = 0; i < count; ++i) {
      const Index row = first + i;
      if (in.is_context(row)) continue;
      const Index target = targets[static_cast<std::size_t>(in.token(row))] - panel.first_word;
      if (target >= 0 && target < length) {
        sums.target_logit[static_cast<std::size_t>(row)] = z(i, target);
      }
      auto values = z.row(i).array();
      const Real max = values.maxCoeff();
      values = (values - max).exp();
      const std::size_t at = sums.at(static_cast<std::size_t>(index), row);
      sums.panel_max[at] = max;
      panel_sum[at] = sum_in_double(&z(i, 0), length);
    }
  });
  for (Index row = 0; row < rows; ++row) {
    if (in.is_context(row)) continue;
    sums.merge(row, panel_sum);
    const auto token = static_cast<std::size_t>(in.token(row));
    nats[token] = targets[token] < 0 ? 0 : -sums.target_log_probability(row);
  }
}

void PanelTape::resize(Index rows, std::span<const Panel> panels_of) {
  panels.resize(panels_of.size());
  const Panel& last = panels_of.back();
  require_memory(
      static_cast<double>(rows) * static_cast<double>(last.first_word + last.length) * sizeof(Real),
      "the softmax of a batch");
  for (std::size_t panel = 0; panel < panels.size(); ++panel) {
    AlignedBuffer& buffer = panels[panel];
    const Index size = rows * panels_of[panel].length;
    if (buffer.size() >= size) continue;
    // A tail has other rows in every batch: room to grow spares most of the next ones.
    const Index grown = buffer.size() == 0 ? size : size + size / 4;
    buffer = AlignedBuffer();
    buffer = AlignedBuffer(grown);
  }
}

namespace {

// Turns one panel of exponentials into dL/dlogits = softmax - one-hot. The target's p - 1 comes
// from the logit: as a difference of nearly equal numbers it would lose what remains to be learnt.
void softmax_gradient(PanelTape& tape, std::size_t index, const Panel& panel,
                      const RowActivations& x, std::span<const int> targets) {
  const Index length = panel.length, rows = x.span();
  Real* memory = tape.panels[index].data();
  for (Index row = 0; row < rows; ++row) {
    Row values(memory + row * length, length);
    const int target = x.is_context(row) ? -1 : targets[static_cast<std::size_t>(x.token(row))];
    if (target < 0) {
      values.setZero();
      continue;
    }
    values *= tape.sums.panel_factor(index, row);
    const Index word = target - panel.first_word;
    if (word >= 0 && word < length) {
      values(word) = static_cast<Real>(std::expm1(tape.sums.target_log_probability(row)));
    }
  }
}

// Adds the bias gradient of a panel from dL/dlogits; then, under weight norm, folds the scale in.
void finish_logit_gradient(const Panel& panel, Strided dz) {
  const TableWeights& w = *panel.table;
  if (w.b() != nullptr) {
    Row db((*w.b())[Array::kGradient] + panel.begin, panel.length);
    if (!w.has_bias_gradient) db.setZero();
    for (Index row = 0; row < dz.rows(); ++row) db += dz.row(row).array();
  }
  if (w.g() != nullptr) {
    dz.array().rowwise() *= ConstRow(w.scale.data() + panel.begin, panel.length);
  }
}

// dw' . v and the gain's gradient of rows [begin, begin + length), as of products in weights.h.
void gain_gradient(TableWeights& w, Index begin, Index length) {
  const Index width = w.shape.width;
  for (Index row = begin; row < begin + length; ++row) {
    const Real* gradient = w.v()[Array::kGradient] + row * width;
    const double dot = static_cast<double>(
        (ConstRow(gradient, width) * ConstRow(w.v()[Array::kValue] + row * width, width)).sum());
    w.dot[static_cast<std::size_t>(row)] = dot;
    const Real gain = floored((*w.g())[Array::kValue][row]);
    (*w.g())[Array::kGradient][row] = static_cast<Real>(dot / static_cast<double>(gain));
  }
}

}  // namespace

void ReferenceBackend::softmax_backward(SoftmaxTape& keep, const Activations& x,
                                        std::span<const int> targets,
                                        std::span<const TableRows> words, Junction& below,
                                        Into into) {
  auto& tape = static_cast<PanelTape&>(keep);
  const RowActivations& in = rows_of(x);
  const Index rows = in.span();
  const std::vector<Panel> panels = cut(words, panel_width(count(words)));
  std::vector<std::uint8_t> adds(panels.size());
  for (std::size_t i = 0; i < panels.size(); ++i) {
    adds[i] = panels[i].table->touch(panels[i].begin, panels[i].begin + panels[i].length);
  }
  const auto dlogits = [&](std::size_t i, Index first, Index count) {
    const Index length = panels[i].length;
    return Strided(tape.panels[i].data() + first * length, count, length,
                   Eigen::OuterStride<>(length));
  };
  pool_.run(static_cast<Index>(panels.size()), [&](Index index, int) {
    const auto i = static_cast<std::size_t>(index);
    const Panel& panel = panels[i];
    TableWeights& w = *panel.table;
    softmax_gradient(tape, i, panel, in, targets);
    const Strided dz = dlogits(i, 0, rows);
    finish_logit_gradient(panel, dz);
    const Index width = w.shape.width;
    Strided dw(w.v()[Array::kGradient] + panel.begin * width, panel.length, width,
               Eigen::OuterStride<>(width));
    if (adds[i] != 0) {
      dw.noalias() += dz.transpose() * in.rows(0, rows);
    } else {
      dw.noalias() = dz.transpose() * in.rows(0, rows);
    }
    if (w.g() != nullptr) gain_gradient(w, panel.begin, panel.length);
  });
  for (const TableRows& part : words) part.table->has_bias_gradient = part.table->b() != nullptr;
  backward_rows(below, into, in, [&](Index first, Strided out) {
    out.setZero();
    for (std::size_t i = 0; i < panels.size(); ++i) {
      out.noalias() += dlogits(i, first, out.rows()) * vectors(panels[i]);
    }
  });
}

void ReferenceBackend::log_probabilities(const Activations& x, std::span<const TableRows> words,
                                         std::span<const Index> tokens, std::span<Real> out) {
  const RowActivations& in = rows_of(x);
  const Index rows = static_cast<Index>(tokens.size()), vocabulary = count(words);
  assert(static_cast<Index>(out.size()) == rows * vocabulary);
  for (const TableRows& part : words) catch_up_rows(table_of(part), part.begin, part.end);
  Matrix hidden(rows, in.width());
  for (Index i = 0; i < rows; ++i) {
    const Index token = tokens[static_cast<std::size_t>(i)], time = in.map().time;
    hidden.row(i) = in.rows(token / time * in.pitch() + token % time, 1);
  }
  const ConstStrided from(hidden.data(), rows, in.width(), Eigen::OuterStride<>(in.width()));
  const std::vector<Panel> panels = cut(words, std::min(panel_width(vocabulary), kWordsPerPanel));
  LogSums sums;
  sums.resize(rows, panels.size());
  std::vector<double> panel_sum(sums.panel_max.size());
  reserve_scratch(kWordsPerPanel);
  pool_.run(static_cast<Index>(panels.size()), [&](Index index, int worker) {
    const Panel& panel = panels[static_cast<std::size_t>(index)];
    logits_row_by_row(from, panel, out.data(), vocabulary);
    for (Index i = 0; i < rows; ++i) {
      const ConstRow values(out.data() + i * vocabulary + panel.first_word, panel.length);
      Row exponentials(scratch(worker, kWordsPerPanel), panel.length);
      const std::size_t at = sums.at(static_cast<std::size_t>(index), i);
      sums.panel_max[at] = values.maxCoeff();
      exponentials = (values - sums.panel_max[at]).exp();
      panel_sum[at] = sum_in_double(exponentials.data(), panel.length);
    }
  });
  pool_.run(rows, [&](Index i, int) {
    sums.merge(i, panel_sum);
    const auto at = static_cast<std::size_t>(i);
    Row values(out.data() + i * vocabulary, vocabulary);
    // In two steps: the sum of both would round to the last place of a large maximum.
    values = (values - sums.max[at]) - static_cast<Real>(sums.log_sum[at]);
  });
}

}  // namespace sluice::kernels::reference
