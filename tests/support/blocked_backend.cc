#include "tests/support/blocked_backend.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace sluice::testing {
namespace {

using namespace kernels;  // NOLINT: this file is an implementation of that namespace's interface

constexpr Index kBlock = 3;
constexpr Real kPadding = std::numeric_limits<Real>::quiet_NaN();

Index padded(Index channels) { return (channels + kBlock - 1) / kBlock * kBlock; }

class BlockedActivations : public Activations {
 public:
  BlockedActivations(const RowMap& map, Index channels, Form form)
      : Activations(map, channels, form),
        width_(form == Form::kSaved ? 2 * channels : channels),
        data_(static_cast<std::size_t>(map.sequences * pitch() * padded(width_)), kPadding) {
    each([&](Index s, Index t) {
      for (Index c = 0; c < width_; ++c) at(s, t, c) = 0;
    });
  }
  Index width() const { return width_; }
  // t from -context; for kSaved c = 2 channel (a) or 2 channel + 1 (sigma).
  Real& at(Index s, Index t, Index c) const {
    const Index block = c / kBlock, row = t + map().context;
    const Index blocks = padded(width_) / kBlock;
    return data_[static_cast<std::size_t>(((s * blocks + block) * pitch() + row) * kBlock +
                                          c % kBlock)];
  }

 private:
  Index pitch() const { return map().context + map().time; }
  void each(const std::function<void(Index, Index)>& visit) const {
    for (Index s = 0; s < map().sequences; ++s) {
      for (Index t = -map().context; t < map().time; ++t) visit(s, t);
    }
  }

  Index width_;
  mutable std::vector<Real> data_;
};

BlockedActivations& of(Activations& x) { return static_cast<BlockedActivations&>(x); }
const BlockedActivations& of(const Activations& x) {
  return static_cast<const BlockedActivations&>(x);
}

template <class Visit>
void each_token(const RowMap& map, const Visit& visit) {
  for (Index s = 0; s < map.sequences; ++s) {
    for (Index t = 0; t < map.time; ++t) visit(s, t, static_cast<std::size_t>(s * map.time + t));
  }
}

struct BlockedProduct : Weights {
  BlockedProduct(const ConvShape& conv, const Slices& v, const Slices* g, const Slices* b)
      : Weights(v, g, b), shape(conv), norm2(static_cast<std::size_t>(conv.columns())) {}
  static Index stored(const ConvShape& s) { return s.columns() * s.taps * padded(s.in); }
  Real& at(Array array, Index tap, Index in, Index column) const {
    return v()[array][(column * shape.taps + shape.taps - 1 - tap) * padded(shape.in) + in];
  }
  template <class Visit>
  void each(const Visit& visit) const {
    for (Index tap = 0; tap < shape.taps; ++tap) {
      for (Index in = 0; in < shape.in; ++in) {
        for (Index column = 0; column < shape.columns(); ++column) visit(tap, in, column);
      }
    }
  }
  double gain(Index column) const {
    const double value = (*g())[Array::kValue][column];
    return std::copysign(std::max(std::abs(value), 1e-20), value);
  }
  Real scale(Index column) const {
    if (g() == nullptr) return 1;
    return static_cast<Real>(gain(column) / std::sqrt(norm2[static_cast<std::size_t>(column)]));
  }
  // dw' . v
  double dot(Index column) const {
    double sum = 0;
    for (Index tap = 0; tap < shape.taps; ++tap) {
      for (Index in = 0; in < shape.in; ++in) {
        sum += static_cast<double>(at(Array::kGradient, tap, in, column)) *
               static_cast<double>(at(Array::kValue, tap, in, column));
      }
    }
    return sum;
  }
  std::vector<double> true_shares() const {
    std::vector<double> shares(norm2.size());
    if (g() == nullptr) return shares;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      shares[i] = dot(static_cast<Index>(i)) / norm2[i];
    }
    return shares;
  }

  ConvShape shape;
  std::vector<double> norm2;
};

struct BlockedTable : Weights {
  BlockedTable(const TableShape& table, const Slices& v, const Slices* b)
      : Weights(v, nullptr, b), shape(table) {}
  static Index stored(const TableShape& s) { return s.rows * padded(s.width); }
  Real& at(Array array, Index row, Index c) const {
    return v()[array][(c / kBlock * shape.rows + row) * kBlock + c % kBlock];
  }
  TableShape shape;
};

struct BlockedTape : SoftmaxTape {
  std::vector<std::vector<double>> p_minus_one_hot;  // per token
};

const BlockedProduct* product_of(const Weights* weights) {
  return static_cast<const BlockedProduct*>(weights);
}

void mask(const Dropout& dropout, Index s, Index t, std::vector<Real>& values) {
  if (dropout.rate == 0) return;
  const RowKey key = row_key(dropout.key, dropout.first_sequence + static_cast<std::uint64_t>(s),
                             static_cast<std::uint64_t>(t));
  for (std::size_t c = 0; c < values.size(); ++c) {
    const bool kept =
        channel_bits(key, static_cast<std::uint32_t>(c)) >= dropout_threshold(dropout.rate);
    values[c] = kept ? values[c] / static_cast<Real>(1 - dropout.rate) : 0;
  }
}

// One optimiser step on one number.
void step(const UpdateRule& rule, double decay, double gradient, const Slices& slices, Index i) {
  double p = static_cast<double>(slices[Array::kValue][i]) * (1 - rule.lr * decay);
  const double g = gradient * rule.scale;
  Real& m = slices[Array::kState0][i];
  if (rule.kind == UpdateKind::kNag) {
    m = static_cast<Real>(rule.momentum * static_cast<double>(m) + g);
    p -= rule.lr * (g + rule.momentum * static_cast<double>(m));
  } else {
    Real& v = slices[Array::kState1][i];
    const double t = static_cast<double>(rule.step), b1 = rule.momentum, b2 = rule.beta2;
    m = static_cast<Real>(b1 * static_cast<double>(m) + (1 - b1) * g);
    v = static_cast<Real>(b2 * static_cast<double>(v) + (1 - b2) * g * g);
    p -= rule.lr / (1 - std::pow(b1, t)) * static_cast<double>(m) /
         (std::sqrt(static_cast<double>(v) / (1 - std::pow(b2, t))) + rule.eps);
  }
  slices[Array::kValue][i] = static_cast<Real>(p);
}

class BlockedBackend : public Backend {
 public:
  std::string_view name() const override { return "blocked"; }
  Index elements(const ConvShape& shape) const override { return BlockedProduct::stored(shape); }
  Index elements(const TableShape& shape) const override { return BlockedTable::stored(shape); }
  std::unique_ptr<Activations> activations(const RowMap& map, Index channels, Form form) override {
    return std::make_unique<BlockedActivations>(map, channels, form);
  }
  std::unique_ptr<Weights> weights(const ConvShape& shape, const Slices& v, const Slices* g,
                                   const Slices* b) override {
    return std::make_unique<BlockedProduct>(shape, v, g, b);
  }
  std::unique_ptr<Weights> table(const TableShape& shape, const Slices& v,
                                 const Slices* b) override {
    return std::make_unique<BlockedTable>(shape, v, b);
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
      for (Index c = 0; c < t.shape.width; ++c) logical[i++] = t.at(array, row, c);
    }
  }
  void load(Activations& to, std::span<const Real> logical) override {
    const auto n = static_cast<std::size_t>(to.channels());
    each_token(to.map(), [&](Index s, Index t, std::size_t token) {
      for (std::size_t c = 0; c < n; ++c) {
        of(to).at(s, t, static_cast<Index>(c)) = logical[token * n + c];
      }
    });
    to.written = true;
  }
  void store(const Activations& from, std::span<Real> logical) const override {
    const auto n = static_cast<std::size_t>(from.channels());
    each_token(from.map(), [&](Index s, Index t, std::size_t token) {
      for (std::size_t c = 0; c < n; ++c) {
        logical[token * n + c] = of(from).at(s, t, static_cast<Index>(c));
      }
    });
  }
  void refresh(Weights& weights) override {
    weights.stale = false;
    if (weights.g() == nullptr) return;
    auto& w = static_cast<BlockedProduct&>(weights);
    std::fill(w.norm2.begin(), w.norm2.end(), 0);
    w.each([&](Index tap, Index in, Index c) {
      const double v = static_cast<double>(w.at(Array::kValue, tap, in, c));
      w.norm2[static_cast<std::size_t>(c)] += v * v;
    });
  }

  void embed(const Weights& table, std::span<const int> ids, Junction& out) override {
    const auto& w = static_cast<const BlockedTable&>(table);
    each_token(out.dropped->map(), [&](Index s, Index t, std::size_t token) {
      std::vector<Real> z(static_cast<std::size_t>(w.shape.width));
      for (std::size_t c = 0; c < z.size(); ++c) {
        z[c] = w.at(Array::kValue, ids[token], static_cast<Index>(c));
      }
      forward_row(out, s, t, std::move(z));
    });
  }
  void embed_backward(const Activations& dz, std::span<const int> ids, Weights& table) override {
    auto& w = static_cast<BlockedTable&>(table);
    if (!w.has_gradient) std::fill_n(w.v()[Array::kGradient], elements(w.shape), Real(0));
    each_token(dz.map(), [&](Index s, Index t, std::size_t token) {
      for (Index c = 0; c < w.shape.width; ++c) {
        w.at(Array::kGradient, ids[token], c) += of(dz).at(s, t, c);
      }
    });
    w.has_gradient = true;
  }

  void conv_forward(const Activations& x, const Weights& weights, Junction& out) override {
    const auto& w = *product_of(&weights);
    assert(!w.stale);
    each_token(x.map(), [&](Index s, Index t, std::size_t) {
      std::vector<Real> z(static_cast<std::size_t>(w.shape.columns()));
      w.each([&](Index tap, Index in, Index column) {
        const Index from = t - (w.shape.taps - 1 - tap) * w.shape.dilation;
        z[static_cast<std::size_t>(column)] +=
            of(x).at(s, from, in) * w.at(Array::kValue, tap, in, column);
      });
      forward_row(out, s, t, std::move(z));
    });
  }
  void conv_backward_weights(const Activations& x, const Activations& dz,
                             Weights& weights) override {
    auto& w = static_cast<BlockedProduct&>(weights);
    if (!w.has_gradient) std::fill_n(w.v()[Array::kGradient], elements(w.shape), Real(0));
    w.has_gradient = true;
    each_token(x.map(), [&](Index s, Index t, std::size_t) {
      w.each([&](Index tap, Index in, Index column) {
        const Index from = t - (w.shape.taps - 1 - tap) * w.shape.dilation;
        w.at(Array::kGradient, tap, in, column) += of(x).at(s, from, in) * of(dz).at(s, t, column);
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
    backward_rows(below, into, dz.map(), [&](Index s, Index t, std::vector<Real>& dx) {
      w.each([&](Index tap, Index in, Index column) {
        const Index to = t + (w.shape.taps - 1 - tap) * w.shape.dilation;
        if (to >= dz.map().time) return;
        dx[static_cast<std::size_t>(in)] +=
            of(dz).at(s, to, column) * w.at(Array::kValue, tap, in, column);
      });
    });
  }

  void carry_context(const Activations& from, Activations& to) override {
    const Index context = from.map().context;
    for (Index s = 0; s < from.map().sequences; ++s) {
      for (Index row = 0; row < context; ++row) {
        for (Index c = 0; c < of(from).width(); ++c) {
          of(to).at(s, row - context, c) = of(from).at(s, from.map().time + row - context, c);
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

  void softmax_forward(const Activations& x, const Weights& table, std::span<const int> targets,
                       std::span<double> nats, SoftmaxTape* tape) override {
    auto* keep = static_cast<BlockedTape*>(tape);
    if (keep != nullptr) keep->p_minus_one_hot.resize(targets.size());
    each_token(x.map(), [&](Index s, Index t, std::size_t token) {
      const int target = targets[token];
      std::vector<double> p = log_softmax(x, table, s, t);
      nats[token] = target < 0 ? 0 : -p[static_cast<std::size_t>(target)];
      for (double& word : p) word = target < 0 ? 0 : std::exp(word);
      if (target >= 0) p[static_cast<std::size_t>(target)] = std::expm1(-nats[token]);
      if (keep != nullptr) keep->p_minus_one_hot[token] = std::move(p);
    });
  }
  void softmax_backward(SoftmaxTape& tape, const Activations& x, std::span<const int>,
                        Weights& table, Junction& below, Into into) override {
    auto& w = static_cast<BlockedTable&>(table);
    const auto& gradients = static_cast<BlockedTape&>(tape).p_minus_one_hot;
    if (!w.has_gradient) std::fill_n(w.v()[Array::kGradient], elements(w.shape), Real(0));
    Real* db = w.b() == nullptr ? nullptr : (*w.b())[Array::kGradient];
    if (db != nullptr && !w.has_bias_gradient) std::fill_n(db, w.shape.rows, Real(0));
    each_token(x.map(), [&](Index s, Index t, std::size_t token) {
      for (Index row = 0; row < w.shape.rows; ++row) {
        const Real dz = static_cast<Real>(gradients[token][static_cast<std::size_t>(row)]);
        if (db != nullptr) db[row] += dz;
        for (Index c = 0; c < w.shape.width; ++c) {
          w.at(Array::kGradient, row, c) += dz * of(x).at(s, t, c);
        }
      }
    });
    w.has_gradient = true;
    w.has_bias_gradient = db != nullptr;
    backward_rows(below, into, x.map(), [&](Index s, Index t, std::vector<Real>& dx) {
      const auto& p = gradients[static_cast<std::size_t>(s * x.map().time + t)];
      for (Index row = 0; row < w.shape.rows; ++row) {
        for (std::size_t c = 0; c < dx.size(); ++c) {
          dx[c] += static_cast<Real>(p[static_cast<std::size_t>(row)]) *
                   w.at(Array::kValue, row, static_cast<Index>(c));
        }
      }
    });
  }
  void log_probabilities(const Activations& x, const Weights& table, std::span<const Index> tokens,
                         std::span<Real> out) override {
    auto to = out.begin();
    for (const Index token : tokens) {
      for (const double p : log_softmax(x, table, token / x.map().time, token % x.map().time)) {
        *to++ = static_cast<Real>(p);
      }
    }
  }

  double squared_norm(const Weights& weights) override {
    double sum = 0;
    each_number(weights,
                [&](double gradient, const Slices&, Index, bool) { sum += gradient * gradient; });
    return sum;
  }
  void update(Weights& weights, const UpdateRule& rule) override {
    each_number(weights, [&](double gradient, const Slices& slices, Index i, bool decays) {
      step(rule, decays ? rule.matrix_decay : rule.other_decay, gradient, slices, i);
    });
    discard_gradient(weights);
    refresh(weights);
  }
  void discard_gradient(Weights& weights) override {
    weights.has_gradient = weights.has_bias_gradient = false;
  }

 private:
  // z: the product's columns, still to be scaled and shifted.
  static void shift(const Weights* weights, std::vector<Real>& z) {
    if (weights == nullptr) return;
    for (std::size_t c = 0; c < z.size(); ++c) {
      const auto column = static_cast<Index>(c);
      z[c] *= product_of(weights)->scale(column);
      if (weights->b() != nullptr) z[c] += (*weights->b())[Array::kValue][column];
    }
  }

  static void forward_row(Junction& junction, Index s, Index t, std::vector<Real> z) {
    shift(junction.producer, z);
    std::vector<Real> y = z;
    if (junction.gate == Gate::kGlu) {
      y.resize(z.size() / 2);
      for (std::size_t c = 0; c < y.size(); ++c) {
        const Real sigma = 1 / (1 + std::exp(-z[y.size() + c]));
        if (junction.saved != nullptr) {
          of(*junction.saved).at(s, t, static_cast<Index>(2 * c)) = z[c];
          of(*junction.saved).at(s, t, static_cast<Index>(2 * c + 1)) = sigma;
        }
        y[c] = z[c] * sigma;
      }
    }
    if (junction.residual != nullptr) {
      std::vector<Real> residual(y.size());
      for (std::size_t c = 0; c < y.size(); ++c) {
        residual[c] = of(*junction.residual).at(s, t, static_cast<Index>(c));
      }
      shift(junction.residual_producer, residual);
      for (std::size_t c = 0; c < y.size(); ++c) y[c] += residual[c];
    }
    for (Real& value : y) value *= junction.scale;
    mask(junction.self, s, t, y);
    write(junction.stream, s, t, y);
    write(junction.plain, s, t, y);
    mask(junction.next, s, t, y);
    write(junction.dropped, s, t, y);
  }

  static void write(Activations* to, Index s, Index t, const std::vector<Real>& values) {
    if (to == nullptr) return;
    for (std::size_t c = 0; c < values.size(); ++c) {
      of(*to).at(s, t, static_cast<Index>(c)) = values[c];
    }
  }
  static void add(const Activations* from, Index s, Index t, std::vector<Real>& values) {
    if (from == nullptr || !from->written) return;
    for (std::size_t c = 0; c < values.size(); ++c) {
      values[c] += of(*from).at(s, t, static_cast<Index>(c));
    }
  }

  using RowGradient = std::function<void(Index, Index, std::vector<Real>&)>;
  static void backward_rows(Junction& below, Into into, const RowMap& map, const RowGradient& row) {
    Activations* part = into == Into::kDy        ? below.dy
                        : into == Into::kDropped ? below.ddropped
                                                 : nullptr;
    if (part == nullptr) prepare_bias(below);
    const auto channels =
        static_cast<std::size_t>(part != nullptr ? part->channels() : below.dropped->channels());
    each_token(map, [&](Index s, Index t, std::size_t) {
      std::vector<Real> dx(channels);
      row(s, t, dx);
      if (part != nullptr) {
        add(part, s, t, dx);
        write(part, s, t, dx);
      } else {
        close_row(below, s, t, std::move(dx));
      }
    });
    if (part != nullptr) {
      part->written = true;
      return;
    }
    for (Activations* used : {below.dy, below.ddropped}) {
      if (used != nullptr) used->written = false;
    }
    for (Activations* made : {below.dresidual, below.dz}) {
      if (made != nullptr) made->written = true;
    }
  }

  static void prepare_bias(const Junction& junction) {
    for (Weights* weights : {junction.producer, junction.residual_producer}) {
      if (weights == nullptr || weights->b() == nullptr || weights->has_bias_gradient) continue;
      std::fill_n((*weights->b())[Array::kGradient], product_of(weights)->shape.columns(), Real(0));
      weights->has_bias_gradient = true;
    }
  }

  // Adds dz to the bias gradient and folds the scale in.
  static void fold(Weights* weights, std::vector<Real>& dz) {
    if (weights == nullptr) return;
    for (std::size_t c = 0; c < dz.size(); ++c) {
      const auto column = static_cast<Index>(c);
      if (weights->b() != nullptr) (*weights->b())[Array::kGradient][column] += dz[c];
      dz[c] *= product_of(weights)->scale(column);
    }
  }

  static void close_row(Junction& junction, Index s, Index t, std::vector<Real> d) {
    add(junction.ddropped, s, t, d);
    mask(junction.next, s, t, d);
    add(junction.dy, s, t, d);
    mask(junction.self, s, t, d);
    for (Real& value : d) value *= junction.scale;
    if (junction.dresidual != nullptr) {
      std::vector<Real> residual = d;
      fold(junction.residual_producer, residual);
      if (junction.residual_producer == nullptr) add(junction.dresidual, s, t, residual);
      write(junction.dresidual, s, t, residual);
    }
    if (junction.dz == nullptr) return;
    std::vector<Real> dz = d;
    if (junction.gate == Gate::kGlu) {
      dz.resize(2 * d.size());
      for (std::size_t c = 0; c < d.size(); ++c) {
        const Real a = of(*junction.saved).at(s, t, static_cast<Index>(2 * c));
        const Real sigma = of(*junction.saved).at(s, t, static_cast<Index>(2 * c + 1));
        dz[c] = d[c] * sigma;
        dz[d.size() + c] = d[c] * a * sigma * (1 - sigma);
      }
    }
    fold(junction.producer, dz);
    write(junction.dz, s, t, dz);
  }

  static std::vector<double> log_softmax(const Activations& x, const Weights& table, Index s,
                                         Index t) {
    const auto& w = static_cast<const BlockedTable&>(table);
    std::vector<double> z(static_cast<std::size_t>(w.shape.rows));
    for (Index row = 0; row < w.shape.rows; ++row) {
      double& logit = z[static_cast<std::size_t>(row)];
      if (w.b() != nullptr) logit = static_cast<double>((*w.b())[Array::kValue][row]);
      for (Index c = 0; c < w.shape.width; ++c) {
        logit += static_cast<double>(of(x).at(s, t, c)) *
                 static_cast<double>(w.at(Array::kValue, row, c));
      }
    }
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
    const auto& t = static_cast<const BlockedTable&>(weights);
    for (Index row = 0; row < t.shape.rows; ++row) {
      for (Index c = 0; c < t.shape.width; ++c) {
        const Index i = &t.at(Array::kValue, row, c) - t.v()[Array::kValue];
        visit(static_cast<double>(t.at(Array::kGradient, row, c)), t.v(), i, true);
      }
    }
    if (t.b() != nullptr) all(*t.b(), t.shape.rows, false);
  }
};

}  // namespace

std::unique_ptr<kernels::Backend> make_blocked_backend() {
  return std::make_unique<BlockedBackend>();
}

}  // namespace sluice::testing
