#include "tests/support/blocked_backend.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <vector>

#include "tests/support/blocked_junction.h"
#include "tests/support/blocked_norm.h"
#include "tests/support/blocked_statistics.h"

namespace sluice::testing {
namespace blocked {
namespace {

// One optimiser step on one number.
void step(const UpdateRule& rule, double decay, double gradient, const Slices& slices, Index i) {
  double p = static_cast<double>(slices[Array::kValue][i]);
  double g = gradient * rule.scale;
  if (rule.kind == UpdateKind::kAdam) {
    g += decay * p;
  } else {
    p *= 1 - rule.lr * decay;
  }
  Real& m = slices[Array::kState0][i];
  if (rule.kind == UpdateKind::kSgd || rule.kind == UpdateKind::kNag) {
    m = static_cast<Real>(rule.momentum * static_cast<double>(m) + g);
    const double ahead = rule.kind == UpdateKind::kSgd ? static_cast<double>(m)
                                                       : g + rule.momentum * static_cast<double>(m);
    p -= rule.lr * ahead;
  } else {
    Real& v = slices[Array::kState1][i];
    const double t = static_cast<double>(rule.step), b1 = rule.momentum, b2 = rule.beta2;
    m = static_cast<Real>(b1 * static_cast<double>(m) + (1 - b1) * g);
    v = static_cast<Real>(b2 * static_cast<double>(v) + (1 - b2) * g * g);
    p -= rule.lr / (1 - std::pow(b1, t)) * static_cast<double>(m) /
         (std::sqrt(static_cast<double>(v) / (1 - std::pow(b2, t))) + rule.eps);
  }
  slices[Array::kValue][i] = static_cast<Real>(p);
  if (slices[Array::kAverage] == nullptr) return;
  Real& e = slices[Array::kAverage][i];
  e = static_cast<Real>(static_cast<double>(e) + rule.average * (p - static_cast<double>(e)));
}

struct BlockedTape : SoftmaxTape {
  std::vector<std::vector<double>> p_minus_one_hot;  // per token
};

class BlockedBackend : public Backend {
 public:
  std::string_view name() const override { return "blocked"; }
  Index elements(const ConvShape& shape) const override { return BlockedProduct::stored(shape); }
  Index elements(const TableShape& shape) const override { return BlockedTable::stored(shape); }
  std::unique_ptr<Activations> activations(const RowMap& map, Index channels, Form form) override {
    return std::make_unique<BlockedActivations>(map, channels, form);
  }
  std::unique_ptr<Activations> activations(const Selection& selection, Index channels,
                                           Form form) override {
    return std::make_unique<BlockedActivations>(selection, channels, form);
  }
  void reshape(Activations& x, const RowMap& map) override { of(x).reshape(map); }
  std::unique_ptr<Weights> weights(const ConvShape& shape, const Slices& v, const Slices* g,
                                   const Slices* b) override {
    return std::make_unique<BlockedProduct>(shape, v, g, b);
  }
  std::unique_ptr<Weights> table(const TableShape& shape, const Slices& v, const Slices* g,
                                 const Slices* b) override {
    return std::make_unique<BlockedTable>(shape, v, g, b);
  }
  std::unique_ptr<SoftmaxTape> softmax_tape() override { return std::make_unique<BlockedTape>(); }

  void load(Weights& weights, Array array, std::span<const Real> logical) override {
    weights.stale = true;
    std::size_t i = 0;
    if (auto* w = dynamic_cast<BlockedProduct*>(&weights)) {
      std::fill_n(w->v()[array], elements(w->shape), kPadding);
      w->each([&](Index tap, Index in, Index c) { w->at(array, tap, in, c) = logical[i++]; });
      return;
    }
    auto& t = static_cast<BlockedTable&>(weights);
    std::fill_n(t.v()[array], elements(t.shape), kPadding);
    for (Index row = 0; row < t.shape.rows; ++row) {
      for (Index c = 0; c < t.shape.width; ++c) t.at(array, row, c) = logical[i++];
    }
  }
  void store(const Weights& weights, Array array, std::span<Real> logical) const override {
    std::size_t i = 0;
    if (const auto* w = dynamic_cast<const BlockedProduct*>(&weights)) {
      const std::vector<double> shares =
          array == Array::kGradient ? w->true_shares() : std::vector<double>(w->norm2.size());
      w->each([&](Index tap, Index in, Index c) {
        logical[i++] =
            static_cast<Real>(w->at(array, tap, in, c) - w->at(Array::kValue, tap, in, c) *
                                                             shares[static_cast<std::size_t>(c)]);
      });
      return;
    }
    const auto& t = static_cast<const BlockedTable&>(weights);
    for (Index row = 0; row < t.shape.rows; ++row) {
      for (Index c = 0; c < t.shape.width; ++c) {
        if (array != Array::kGradient) {
          logical[i++] = t.at(array, row, c);
        } else {
          logical[i++] = t.has_gradient ? static_cast<Real>(t.true_gradient(row, c)) : 0;
        }
      }
    }
  }
  void load(Activations& to, std::span<const Real> logical) override {
    const auto n = static_cast<std::size_t>(to.channels());
    each_token(to, [&](Index s, Index t, std::size_t token) {
      for (std::size_t c = 0; c < n; ++c) {
        of(to).at(s, t, static_cast<Index>(c)) = logical[token * n + c];
      }
    });
    to.written = true;
  }
  void store(const Activations& from, std::span<Real> logical) const override {
    const auto n = static_cast<std::size_t>(from.channels());
    each_token(from, [&](Index s, Index t, std::size_t token) {
      for (std::size_t c = 0; c < n; ++c) {
        logical[token * n + c] = of(from).at(s, t, static_cast<Index>(c));
      }
    });
  }
  void refresh(Weights& weights) override {
    weights.stale = false;
    auto* product = dynamic_cast<BlockedProduct*>(&weights);
    if (product == nullptr) return;
    product->drop = {};
    product->set_norms();
  }
  void narrow(Weights& weights, WeightFormat format) override {
    narrow_values(weights, format);
    refresh(weights);
  }

  void drop(Weights& weights, const WeightDrop& drop) override {
    static_cast<BlockedProduct&>(weights).drop = drop;
  }

  void embed(const Weights& table, std::span<const int> ids, Junction& out) override {
    const auto& w = static_cast<const BlockedTable&>(table);
    each_token(out.output(), [&](Index s, Index t, std::size_t token) {
      std::vector<Real> z(static_cast<std::size_t>(w.shape.width));
      for (std::size_t c = 0; c < z.size() && ids[token] != kDroppedWord; ++c) {
        z[c] = w.at(Array::kValue, ids[token], static_cast<Index>(c));
      }
      forward_row(out, s, t, std::move(z));
    });
  }
  void embed_backward(const Activations& dz, std::span<const int> ids, Weights& table) override {
    auto& w = static_cast<BlockedTable&>(table);
    clear_gradient(w);
    each_token(dz, [&](Index s, Index t, std::size_t token) {
      for (Index c = 0; c < w.shape.width && ids[token] != kDroppedWord; ++c) {
        w.at(Array::kGradient, ids[token], c) += of(dz).at(s, t, c);
      }
    });
    w.has_gradient = true;
  }

  void conv_forward(const Activations& x, const Weights& weights, Junction& out) override {
    const auto& w = *product_of(&weights);
    assert(!w.stale);
    each_token(x, [&](Index s, Index t, std::size_t) {
      std::vector<Real> z(static_cast<std::size_t>(w.shape.columns()));
      w.each([&](Index tap, Index in, Index column) {
        const Index from = t - (w.shape.taps - 1 - tap) * w.shape.dilation;
        z[static_cast<std::size_t>(column)] +=
            of(x).at(s, from, in) * w.at(Array::kValue, tap, in, column) * w.mask(tap, in, column);
      });
      forward_row(out, s, t, std::move(z));
    });
  }
  void conv_backward_weights(const Activations& x, const Activations& dz,
                             Weights& weights) override {
    auto& w = static_cast<BlockedProduct&>(weights);
    if (!w.has_gradient) std::fill_n(w.v()[Array::kGradient], elements(w.shape), Real(0));
    w.has_gradient = true;
    each_token(x, [&](Index s, Index t, std::size_t) {
      w.each([&](Index tap, Index in, Index column) {
        const Index from = t - (w.shape.taps - 1 - tap) * w.shape.dilation;
        w.at(Array::kGradient, tap, in, column) +=
            of(x).at(s, from, in) * of(dz).at(s, t, column) * w.mask(tap, in, column);
      });
    });
    if (w.g() == nullptr) return;
    for (Index c = 0; c < w.shape.columns(); ++c) {
      (*w.g())[Array::kGradient][c] = static_cast<Real>(w.dot(c) / w.gain(c));
    }
  }
  void conv_backward_data(const Activations& dz, const Weights& weights, Junction& below,
                          Into into) override {
    const auto& w = *product_of(&weights);
    backward_rows(below, into, dz, [&](Index s, Index t, std::vector<Real>& dx) {
      w.each([&](Index tap, Index in, Index column) {
        const Index to = t + (w.shape.taps - 1 - tap) * w.shape.dilation;
        if (to >= dz.map().time) return;
        dx[static_cast<std::size_t>(in)] += of(dz).at(s, to, column) *
                                            w.at(Array::kValue, tap, in, column) *
                                            w.mask(tap, in, column);
      });
    });
  }

  void norm_forward(const Activations& x, const NormWeights& weights, Junction& out) override {
    blocked::norm_forward(x, weights, out);
  }
  void norm_backward(const Activations& x, const Activations& dz, NormWeights& weights,
                     Junction& below, Into into) override {
    clear_gradient(weights);
    blocked::norm_backward(x, dz, weights, below, into);
  }

  void carry_context(const Activations& from, Activations& to,
                     std::span<const Index> sources) override {
    const Index context = from.map().context;
    for (Index s = 0; s < to.map().sequences; ++s) {
      const Index origin = sources.empty() ? s : sources[static_cast<std::size_t>(s)];
      for (Index row = 0; origin >= 0 && row < context; ++row) {
        for (Index c = 0; c < of(from).width(); ++c) {
          of(to).at(s, row - context, c) = of(from).at(origin, from.map().time + row - context, c);
        }
      }
    }
  }
  void clear_context(Activations& to) override {
    for (Index s = 0; s < to.map().sequences; ++s) {
      for (Index t = -to.map().context; t < 0; ++t) {
        for (Index c = 0; c < of(to).width(); ++c) of(to).at(s, t, c) = 0;
      }
    }
  }

  void gather(const Activations& x, Activations& out) override {
    each_token(out, [&](Index s, Index t, std::size_t) {
      const Index token = batch_token(out, s, t), time = x.map().time;
      for (Index c = 0; c < x.channels(); ++c) {
        of(out).at(s, t, c) = of(x).at(token / time, token % time, c);
      }
    });
    out.written = true;
  }

  void softmax_forward(const Activations& x, std::span<const TableRows> words,
                       std::span<const int> targets, std::span<double> nats,
                       SoftmaxTape* tape) override {
    auto* keep = static_cast<BlockedTape*>(tape);
    if (keep != nullptr) keep->p_minus_one_hot.resize(targets.size());
    each_token(x, [&](Index s, Index t, std::size_t token) {
      const int target = targets[token];
      std::vector<double> p = log_softmax(x, words, s, t);
      nats[token] = target < 0 ? 0 : -p[static_cast<std::size_t>(target)];
      for (double& word : p) word = target < 0 ? 0 : std::exp(word);
      if (target >= 0) p[static_cast<std::size_t>(target)] = std::expm1(-nats[token]);
      if (keep != nullptr) keep->p_minus_one_hot[token] = std::move(p);
    });
  }
  void softmax_backward(SoftmaxTape& tape, const Activations& x, std::span<const int>,
                        std::span<const TableRows> words, Junction& below, Into into) override {
    const auto& gradients = static_cast<BlockedTape&>(tape).p_minus_one_hot;
    for (const TableRows& part : words) clear_gradient(table_of(part));
    each_token(x, [&](Index s, Index t, std::size_t token) {
      auto p = gradients[token].begin();
      each_word(words, [&](BlockedTable& w, Index row) {
        const Real dz = static_cast<Real>(*p++);
        if (w.b() != nullptr) (*w.b())[Array::kGradient][row] += dz;
        for (Index c = 0; c < w.shape.width; ++c) {
          w.at(Array::kGradient, row, c) += w.scale(row) * dz * of(x).at(s, t, c);
        }
      });
    });
    each_word(words, [&](BlockedTable& w, Index row) {
      if (w.g() == nullptr) return;
      (*w.g())[Array::kGradient][row] = static_cast<Real>(
          w.dot(Array::kGradient, row) / static_cast<double>((*w.g())[Array::kValue][row]));
    });
    backward_rows(below, into, x, [&](Index s, Index t, std::vector<Real>& dx) {
      auto p = gradients[static_cast<std::size_t>(s * x.map().time + t)].begin();
      each_word(words, [&](BlockedTable& w, Index row) {
        const Real dz = w.scale(row) * static_cast<Real>(*p++);
        for (std::size_t c = 0; c < dx.size(); ++c) {
          dx[c] += dz * w.at(Array::kValue, row, static_cast<Index>(c));
        }
      });
    });
  }
  void log_probabilities(const Activations& x, std::span<const TableRows> words,
                         std::span<const Index> tokens, std::span<Real> out) override {
    auto to = out.begin();
    for (const Index token : tokens) {
      for (const double p : log_softmax(x, words, token / x.map().time, token % x.map().time)) {
        *to++ = static_cast<Real>(p);
      }
    }
  }

  void penalise(Junction& junction, std::span<const int> targets,
                const ActivationPenalty& penalty) override {
    blocked::penalise(junction, targets, penalty);
  }
  GateStatistics gate_statistics(const Junction& junction) override {
    return blocked::gate_statistics(junction);
  }
  double squared_norm(const Activations& x) override { return blocked::squared_norm(x); }
  double squared_norm(const Weights& weights) override {
    if (!weights.has_gradient && !weights.has_bias_gradient) return 0;
    double sum = 0;
    each_number(weights,
                [&](double gradient, const Slices&, Index, bool) { sum += gradient * gradient; });
    return sum;
  }
  void update(Weights& weights, const UpdateRule& rule) override {
    clear_gradient(weights);
    each_number(weights, [&](double gradient, const Slices& slices, Index i, bool decays) {
      step(rule, decays ? rule.matrix_decay : rule.other_decay, gradient, slices, i);
    });
    discard_gradient(weights);
    refresh(weights);
  }
  void catch_up(const Weights&) override {}  // no step is ever put off
  void discard_gradient(Weights& weights) override {
    weights.has_gradient = weights.has_bias_gradient = false;
    if (auto* product = dynamic_cast<BlockedProduct*>(&weights)) product->drop = {};
  }

 private:
  static BlockedTable& table_of(const TableRows& rows) {
    return static_cast<BlockedTable&>(*rows.table);
  }
  template <class Visit>
  static void each_word(std::span<const TableRows> words, const Visit& visit) {
    for (const TableRows& part : words) {
      for (Index row = part.begin; row < part.end; ++row) visit(table_of(part), row);
    }
  }
  // Zeros where there is no gradient yet.
  static void clear_gradient(Weights& weights) {
    const auto clear = [](const Slices* slices, Index size) {
      if (slices != nullptr) std::fill_n((*slices)[Array::kGradient], size, Real(0));
    };
    const auto* product = dynamic_cast<const BlockedProduct*>(&weights);
    const auto* norm = dynamic_cast<const NormWeights*>(&weights);
    const auto* table = dynamic_cast<const BlockedTable*>(&weights);
    const Index columns = product != nullptr ? product->shape.columns()
                          : norm != nullptr  ? norm->shape().channels
                                             : table->shape.rows;
    if (!weights.has_gradient) {
      clear(&weights.v(), product != nullptr ? BlockedProduct::stored(product->shape)
                          : norm != nullptr  ? columns
                                             : BlockedTable::stored(table->shape));
      clear(weights.g(), columns);
    }
    if (!weights.has_bias_gradient) clear(weights.b(), columns);
    weights.has_gradient = true;
    weights.has_bias_gradient = weights.b() != nullptr;
  }
  static std::vector<double> log_softmax(const Activations& x, std::span<const TableRows> words,
                                         Index s, Index t) {
    std::vector<double> z;
    each_word(words, [&](const BlockedTable& w, Index row) {
      double logit = 0;
      for (Index c = 0; c < w.shape.width; ++c) {
        logit += static_cast<double>(of(x).at(s, t, c)) *
                 static_cast<double>(w.at(Array::kValue, row, c));
      }
      logit *= static_cast<double>(w.scale(row));
      if (w.b() != nullptr) logit += static_cast<double>((*w.b())[Array::kValue][row]);
      z.push_back(logit);
    });
    const double max = *std::max_element(z.begin(), z.end());
    double sum = 0;
    for (const double logit : z) sum += std::exp(logit - max);
    for (double& logit : z) logit -= max + std::log(sum);
    return z;
  }

  // visit(true gradient, slices, index in them, whether it decays as a matrix).
  using VisitNumber = std::function<void(double, const Slices&, Index, bool)>;
  static void each_number(const Weights& weights, const VisitNumber& visit) {
    const auto all = [&](const Slices& slices, Index size, bool decays) {
      for (Index i = 0; i < size; ++i) {
        visit(static_cast<double>(slices[Array::kGradient][i]), slices, i, decays);
      }
    };
    if (const auto* w = dynamic_cast<const BlockedProduct*>(&weights)) {
      const std::vector<double> shares = w->true_shares();
      const bool normed = w->g() != nullptr;
      w->each([&](Index tap, Index in, Index c) {
        const double gradient = static_cast<double>(w->at(Array::kGradient, tap, in, c)) -
                                static_cast<double>(w->at(Array::kValue, tap, in, c)) *
                                    shares[static_cast<std::size_t>(c)];
        const Index i = &w->at(Array::kValue, tap, in, c) - w->v()[Array::kValue];
        visit(gradient, w->v(), i, !normed);
      });
      if (normed) all(*w->g(), w->shape.columns(), true);
      if (w->b() != nullptr) all(*w->b(), w->shape.columns(), false);
      return;
    }
    if (const auto* norm = dynamic_cast<const NormWeights*>(&weights)) {
      all(norm->v(), norm->shape().channels, false);
      if (norm->b() != nullptr) all(*norm->b(), norm->shape().channels, false);
      return;
    }
    const auto& t = static_cast<const BlockedTable&>(weights);
    for (Index row = 0; row < t.shape.rows; ++row) {
      // All of a row's before the first is visited: an update changes what they are made of.
      std::vector<double> gradient;
      for (Index c = 0; c < t.shape.width; ++c) gradient.push_back(t.true_gradient(row, c));
      for (Index c = 0; c < t.shape.width; ++c) {
        const Index i = &t.at(Array::kValue, row, c) - t.v()[Array::kValue];
        visit(gradient[static_cast<std::size_t>(c)], t.v(), i, t.g() == nullptr);
      }
    }
    if (t.g() != nullptr) all(*t.g(), t.shape.rows, true);
    if (t.b() != nullptr) all(*t.b(), t.shape.rows, false);
  }
};

}  // namespace
}  // namespace blocked

std::unique_ptr<kernels::Backend> make_blocked_backend() {
  return std::make_unique<blocked::BlockedBackend>();
}

}  // namespace sluice::testing
