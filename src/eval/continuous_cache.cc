#include "sluice/eval/continuous_cache.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

#include "sluice/base/memory.h"

namespace sluice::eval {
namespace {

using RowMajor = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Rows = Eigen::Map<const RowMajor>;
using Scores = Eigen::Map<const Eigen::Array<Real, Eigen::Dynamic, 1>>;

}  // namespace

// Of one place, over the part of the cache that has been looked at: by each theta the sum of all
// exponentials and of those of the word that came, divided by exp(theta largest).
struct ContinuousCache::Sums {
  explicit Sums(std::size_t thetas) : all(thetas), hits(thetas) {}
  double largest = -std::numeric_limits<double>::infinity();
  std::vector<double> all, hits;
};

ContinuousCache::ContinuousCache(ThreadPool& pool, Index size, Index width,
                                 std::vector<double> thetas)
    : pool_(pool),
      size_(size),
      width_(width),
      capacity_(size + kBatch),
      thetas_(std::move(thetas)) {
  assert(size >= 1 && width >= 1 && !thetas_.empty());
  require_memory(static_cast<double>(capacity_) * static_cast<double>(width) * sizeof(Real),
                 "the cache");
  hidden_ = AlignedBuffer(capacity_ * width);
  words_.resize(static_cast<std::size_t>(capacity_));
}

void ContinuousCache::add(std::span<const Real> hidden, std::span<const int> words,
                          std::span<double> p_cache) {
  assert(static_cast<Index>(hidden.size()) == static_cast<Index>(words.size()) * width_);
  assert(p_cache.size() == words.size() * thetas_.size());
  const Real* row = hidden.data();
  while (!words.empty()) {
    const std::size_t batch = std::min(words.size(), static_cast<std::size_t>(kBatch));
    add_batch(row, words.first(batch), p_cache.first(batch * thetas_.size()));
    row += static_cast<Index>(batch) * width_;
    words = words.subspan(batch);
    p_cache = p_cache.subspan(batch * thetas_.size());
  }
}

void ContinuousCache::add_batch(const Real* hidden, std::span<const int> words,
                                std::span<double> p_cache) {
  const Index batch = static_cast<Index>(words.size()), first = places_;
  // All at once: each place looks at those before it alone.
  for (Index i = 0; i < batch; ++i) {
    const Index slot = (first + i) % capacity_;
    std::copy_n(hidden + i * width_, width_, hidden_.data() + slot * width_);
    words_[static_cast<std::size_t>(slot)] = words[static_cast<std::size_t>(i)];
  }
  places_ += batch;
  const std::size_t per_place = thetas_.size();
  pool_.run((batch + kRows - 1) / kRows, [&](Index chunk, int) {
    const Index begin = chunk * kRows, rows = std::min(kRows, batch - begin);
    score_rows(first + begin, rows,
               p_cache.subspan(static_cast<std::size_t>(begin) * per_place,
                               static_cast<std::size_t>(rows) * per_place));
  });
}

void ContinuousCache::score_rows(Index first, Index rows, std::span<double> p_cache) const {
  RowMajor queries(rows, width_);
  for (Index i = 0; i < rows; ++i) {
    queries.row(i) = Rows(hidden_.data() + (first + i) % capacity_ * width_, 1, width_);
  }
  std::vector<Sums> sums(static_cast<std::size_t>(rows), Sums(thetas_.size()));
  RowMajor products;
  const Index last = first + rows - 1;
  for (Index begin = std::max<Index>(0, first - size_), end; begin < last; begin = end) {
    const Index slot = begin % capacity_;
    end = std::min({last, begin + kColumns, begin + capacity_ - slot});
    const Rows keys(hidden_.data() + slot * width_, end - begin, width_);
    products.resize(rows, end - begin);
    products.noalias() = queries * keys.transpose();
    for (Index i = 0; i < rows; ++i) {
      const Index from = std::max(begin, first + i - size_), to = std::min(end, first + i);
      if (from >= to) continue;
      look_back(first + i, from, to, products.row(i).data() + (from - begin),
                sums[static_cast<std::size_t>(i)]);
    }
  }
  auto out = p_cache.begin();
  for (const Sums& of : sums) {
    for (std::size_t k = 0; k < thetas_.size(); ++k) {
      *out++ = of.all[k] > 0 ? of.hits[k] / of.all[k] : kEmptyCache;
    }
  }
}

void ContinuousCache::look_back(Index place, Index begin, Index end, const Real* scores,
                                Sums& sums) const {
  const Scores values(scores, end - begin);
  const double largest = static_cast<double>(values.maxCoeff());
  if (largest > sums.largest) {
    const bool first = std::isinf(sums.largest);
    for (std::size_t k = 0; k < thetas_.size() && !first; ++k) {
      const double factor = std::exp(thetas_[k] * (sums.largest - largest));
      sums.all[k] *= factor;
      sums.hits[k] *= factor;
    }
    sums.largest = largest;
  }
  const int wanted = words_[static_cast<std::size_t>(place % capacity_)];
  const int* words = words_.data() + begin % capacity_;
  std::array<Index, kColumns> found;
  std::size_t matches = 0;
  for (Index i = 0; i < end - begin; ++i) {
    if (words[i] == wanted) found[matches++] = i;
  }
  std::array<Real, kColumns> memory;
  Eigen::Map<Eigen::Array<Real, Eigen::Dynamic, 1>> terms(memory.data(), end - begin);
  for (std::size_t k = 0; k < thetas_.size(); ++k) {
    terms = ((values - static_cast<Real>(sums.largest)) * static_cast<Real>(thetas_[k])).exp();
    sums.all[k] += static_cast<double>(terms.sum());
    for (std::size_t match = 0; match < matches; ++match) {
      sums.hits[k] += static_cast<double>(terms[found[match]]);
    }
  }
}

double cached_nats(double nats, double p_cache, double lambda) {
  if (p_cache == kEmptyCache || lambda == 0) return nats;
  if (p_cache == 0) return nats - std::log1p(-lambda);
  // Beyond this p_model counts for nothing, and its inverse soon is no double.
  if (nats > 700) return -std::log(lambda * p_cache);
  return nats - std::log1p(lambda * (p_cache * std::exp(nats) - 1));
}

}  // namespace sluice::eval
