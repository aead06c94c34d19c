#include "sluice/eval/cache_evaluator.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

namespace sluice::eval {
namespace {

// 0 is among them: a text may have no use for a cache.
const std::vector<double> kLambdaGrid = {0,    0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08,
                                         0.1,  0.12, 0.14, 0.17, 0.2,  0.23, 0.26, 0.3,
                                         0.35, 0.4,  0.5,  0.6,  0.75, 0.9};

double two_digits(double value) {
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 1);
  // By an integer either way, so that the nearest double is printed short.
  return unit < 1 ? std::round(value / unit) / std::round(1 / unit)
                  : std::round(value / unit) * std::round(unit);
}

}  // namespace

std::vector<double> theta_grid(std::span<const Real> hidden, Index width) {
  using Rows =
      Eigen::Map<const Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  const Rows rows(hidden.data(), static_cast<Index>(hidden.size()) / width, width);
  double sum = 0, squares = 0, pairs = 0;
  for (Index t = 1; t < rows.rows(); ++t) {
    const Eigen::ArrayXd products = (rows.topRows(t) * rows.row(t).transpose()).cast<double>();
    sum += products.sum();
    squares += products.square().sum();
    pairs += static_cast<double>(t);
  }
  const double variance = pairs > 0 ? squares / pairs - sum / pairs * sum / pairs : 0;
  std::vector<double> thetas = {0};
  // Where all places look alike every theta is as good as another.
  if (!(variance > 1e-12)) return thetas;
  for (int step = 0; step <= 12; ++step) {
    thetas.push_back(two_digits(std::exp2(0.5 * step - 2) / std::sqrt(variance)));
  }
  return thetas;
}

CacheEvaluator::CacheEvaluator(kernels::Backend& backend, ThreadPool& pool, Index size,
                               const std::optional<CacheMixture>& mixture)
    : backend_(backend), pool_(pool), size_(size), tuned_(!mixture) {
  if (mixture) thetas_ = {mixture->theta};
  lambdas_ = mixture ? std::vector<double>{mixture->lambda} : kLambdaGrid;
}

void CacheEvaluator::read_hidden(const ScoredWindow& window) {
  hidden_.resize(window.targets.size() * static_cast<std::size_t>(window.hidden.channels()));
  backend_.store(window.hidden, hidden_);
}

void CacheEvaluator::begin(const ScoredWindow& window) {
  if (cache_) return;
  const Index width = window.hidden.channels();
  read_hidden(window);
  if (tuned_) thetas_ = theta_grid(hidden_, width);
  totals_.resize(thetas_.size() * lambdas_.size());
  cache_.emplace(pool_, size_, width, thetas_);
}

void CacheEvaluator::add(const ScoredWindow& window) {
  begin(window);
  read_hidden(window);
  p_cache_.resize(window.targets.size() * thetas_.size());
  cache_->add(hidden_, window.targets, p_cache_);
  nats_.resize(window.nats.size());
  for (std::size_t k = 0; k < thetas_.size(); ++k) {
    for (std::size_t j = 0; j < lambdas_.size(); ++j) {
      for (std::size_t i = 0; i < nats_.size(); ++i) {
        nats_[i] = cached_nats(window.nats[i], p_cache_[i * thetas_.size() + k], lambdas_[j]);
      }
      count(totals_[k * lambdas_.size() + j], nats_, window.oov);
    }
  }
}

CacheEvaluator::Result CacheEvaluator::result(const Totals& plain) const {
  const auto best =
      std::min_element(totals_.begin(), totals_.end(),
                       [](const Totals& a, const Totals& b) { return a.nats < b.nats; });
  const auto at = static_cast<std::size_t>(best - totals_.begin());
  Result result = {.mixture = {thetas_[at / lambdas_.size()], lambdas_[at % lambdas_.size()]},
                   .totals = plain};
  result.totals.nats = best->nats;
  result.totals.squared_nats = best->squared_nats;
  result.totals.oov_nats = best->oov_nats;
  return result;
}

}  // namespace sluice::eval
