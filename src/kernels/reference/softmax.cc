// Softmax over the vocabulary in panels: a product, its row maxima and exponentials while it is in
// cache, then log-sum-exp over the panels. exp is computed once; backward rescales it.
#include <array>
#include <cassert>
#include <cmath>
#include <limits>

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

// z = x W_p^T + b_p for a panel of words.
void logits(const ConstStrided& x, const TableWeights& w, Index begin, Index length, Strided z) {
  const Index width = w.shape.width;
  const ConstStrided rows(w.v()[Array::kValue] + begin * width, length, width,
                          Eigen::OuterStride<>(width));
  z.noalias() = x * rows.transpose();
  if (w.b() == nullptr) return;
  z.array().rowwise() += ConstRow((*w.b())[Array::kValue] + begin, length);
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

void ReferenceBackend::softmax_forward(const Activations& x, const Weights& table,
                                       std::span<const int> targets, std::span<double> nats,
                                       SoftmaxTape* keep) {
  const auto& w = static_cast<const TableWeights&>(table);
  const RowActivations& in = rows_of(x);
  const Index rows = in.span();
  const Chunks panels = {w.shape.rows, panel_width(w.shape.rows)};
  const Chunks blocks = {rows, kRowBlock};
  BlockTape local;
  BlockTape& tape = keep != nullptr ? static_cast<BlockTape&>(*keep) : local;
  tape.resize(rows, panels, keep != nullptr);
  std::vector<double> block_sum(tape.block_max.size());
  reserve_scratch(kRowBlock * panels.size);
  pool_.run(panels.count() * blocks.count(), [&](Index chunk, int worker) {
    const Index panel = chunk / blocks.count(), block = chunk % blocks.count();
    const Index begin = panels.begin(panel), length = panels.length(panel);
    const Index first = blocks.begin(block), count = blocks.length(block);
    Real* memory = keep != nullptr
                       ? tape.panels[static_cast<std::size_t>(panel)].data() + first * length
                       : scratch(worker, kRowBlock * panels.size);
    Strided z(memory, count, length, Eigen::OuterStride<>(length));
    logits(in.rows(first, count), w, begin, length, z);
    for (Index i = 0; i < count; ++i) {
      const Index row = first + i;
      if (in.is_context(row)) continue;
      const int target = targets[static_cast<std::size_t>(in.token(row))];
      if (target >= begin && target < begin + length) {
        tape.target_logit[static_cast<std::size_t>(row)] = z(i, target - begin);
      }
      auto values = z.row(i).array();
      const Real max = values.maxCoeff();
      values = (values - max).exp();
      const auto at = static_cast<std::size_t>(panel * rows + row);
      tape.block_max[at] = max;
      block_sum[at] = sum_in_double(&z(i, 0), length);
    }
  });
  for (Index row = 0; row < rows; ++row) {
    if (in.is_context(row)) continue;
    const auto token = static_cast<std::size_t>(in.token(row));
    const auto at = static_cast<std::size_t>(row);
    Real max = -std::numeric_limits<Real>::infinity();
    double sum = 0;
    for (Index panel = 0; panel < panels.count(); ++panel) {
      max = std::max(max, tape.block_max[static_cast<std::size_t>(panel * rows + row)]);
    }
    for (Index panel = 0; panel < panels.count(); ++panel) {
      const auto entry = static_cast<std::size_t>(panel * rows + row);
      sum += block_sum[entry] *
             std::exp(static_cast<double>(tape.block_max[entry]) - static_cast<double>(max));
    }
    tape.max[at] = max;
    tape.log_sum[at] = std::log(sum);
    nats[token] = targets[token] < 0 ? 0 : -tape.log_probability(at, tape.target_logit[at]);
  }
}

void BlockTape::resize(Index rows, const Chunks& panels_of, bool keep_panels) {
  const auto count = static_cast<std::size_t>(panels_of.count());
  block_max.resize(count * static_cast<std::size_t>(rows));
  target_logit.resize(static_cast<std::size_t>(rows));
  max.resize(static_cast<std::size_t>(rows));
  log_sum.resize(static_cast<std::size_t>(rows));
  if (!keep_panels) return;
  panels.resize(count);
  require_memory(static_cast<double>(rows) * static_cast<double>(panels_of.total) * sizeof(Real),
                 "the softmax of a batch");
  for (Index panel = 0; panel < panels_of.count(); ++panel) {
    AlignedBuffer& buffer = panels[static_cast<std::size_t>(panel)];
    const Index size = rows * panels_of.length(panel);
    if (buffer.size() < size) buffer = AlignedBuffer(size);
  }
}

// Turns one panel of exponentials into dL/dlogits = softmax - one-hot. The target's p - 1 comes
// from the logit: as a difference of nearly equal numbers it would lose what remains to be learnt.
void ReferenceBackend::softmax_gradient(BlockTape& tape, Index panel, const Chunks& panels,
                                        const RowActivations& x, std::span<const int> targets) {
  const Index begin = panels.begin(panel), length = panels.length(panel), rows = x.span();
  Real* memory = tape.panels[static_cast<std::size_t>(panel)].data();
  for (Index row = 0; row < rows; ++row) {
    Row values(memory + row * length, length);
    const int target = x.is_context(row) ? -1 : targets[static_cast<std::size_t>(x.token(row))];
    if (target < 0) {
      values.setZero();
      continue;
    }
    const auto at = static_cast<std::size_t>(row);
    const Real max = tape.block_max[static_cast<std::size_t>(panel * rows + row)];
    values *= static_cast<Real>(std::exp(tape.log_probability(at, max)));
    if (target >= begin && target < begin + length) {
      const double log_p = tape.log_probability(at, tape.target_logit[at]);
      values(target - begin) = static_cast<Real>(std::expm1(log_p));
    }
  }
}

void ReferenceBackend::softmax_backward(SoftmaxTape& keep, const Activations& x,
                                        std::span<const int> targets, Weights& table,
                                        Junction& below, Into into) {
  auto& w = static_cast<TableWeights&>(table);
  auto& tape = static_cast<BlockTape&>(keep);
  const RowActivations& in = rows_of(x);
  const Index rows = in.span(), width = w.shape.width;
  const Chunks panels = {w.shape.rows, panel_width(w.shape.rows)};
  pool_.run(panels.count(), [&](Index panel, int) {
    softmax_gradient(tape, panel, panels, in, targets);
    const Index begin = panels.begin(panel), length = panels.length(panel);
    const ConstStrided dz(tape.panels[static_cast<std::size_t>(panel)].data(), rows, length,
                          Eigen::OuterStride<>(length));
    Strided dw(w.v()[Array::kGradient] + begin * width, length, width, Eigen::OuterStride<>(width));
    if (w.has_gradient) {
      dw.noalias() += dz.transpose() * in.rows(0, rows);
    } else {
      dw.noalias() = dz.transpose() * in.rows(0, rows);
    }
    if (w.b() == nullptr) return;
    Row db((*w.b())[Array::kGradient] + begin, length);
    if (!w.has_bias_gradient) db.setZero();
    for (Index row = 0; row < rows; ++row) db += dz.row(row).array();
  });
  w.has_gradient = true;
  w.has_bias_gradient = w.b() != nullptr;
  backward_rows(below, into, [&](Index first, Strided out) {
    out.setZero();
    for (Index panel = 0; panel < panels.count(); ++panel) {
      const Index begin = panels.begin(panel), length = panels.length(panel);
      const ConstStrided dz(tape.panels[static_cast<std::size_t>(panel)].data() + first * length,
                            out.rows(), length, Eigen::OuterStride<>(length));
      const ConstStrided words(w.v()[Array::kValue] + begin * width, length, width,
                               Eigen::OuterStride<>(width));
      out.noalias() += dz * words;
    }
  });
}

void ReferenceBackend::log_probabilities(const Activations& x, const Weights& table,
                                         std::span<const Index> tokens, std::span<Real> out) {
  const auto& w = static_cast<const TableWeights&>(table);
  const RowActivations& in = rows_of(x);
  const Index count = static_cast<Index>(tokens.size()), vocabulary = w.shape.rows;
  assert(static_cast<Index>(out.size()) == count * vocabulary);
  Matrix hidden(count, in.width());
  for (Index i = 0; i < count; ++i) {
    const Index token = tokens[static_cast<std::size_t>(i)], time = in.map().time;
    hidden.row(i) = in.rows(token / time * in.pitch() + token % time, 1);
  }
  const ConstStrided rows(hidden.data(), count, in.width(), Eigen::OuterStride<>(in.width()));
  const Chunks panels = {vocabulary, std::min<Index>(panel_width(vocabulary), 512)};
  pool_.run(panels.count(), [&](Index panel, int) {
    const Index begin = panels.begin(panel);
    logits(rows, w, begin, panels.length(panel),
           {out.data() + begin, count, panels.length(panel), Eigen::OuterStride<>(vocabulary)});
  });
  for (Index i = 0; i < count; ++i) {
    Row values(out.data() + i * vocabulary, vocabulary);
    const Real max = values.maxCoeff();
    double sum = 0;
    for (Index word = 0; word < vocabulary; ++word) {
      sum += std::exp(static_cast<double>(values(word) - max));
    }
    // In two steps: the sum of both would round to the last place of a large maximum.
    values = (values - max) - static_cast<Real>(std::log(sum));
  }
}

}  // namespace sluice::kernels::reference
