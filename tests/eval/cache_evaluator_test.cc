#include "sluice/eval/cache_evaluator.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/eval/evaluator.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::eval {
namespace {

// A text that says the same again, and a model that knows nothing of it.
struct Fixture {
  Fixture() {
    for (int i = 0; i < 80; ++i) run.valid_text += "the fox and the dog are quick\n";
    run.config.model = testing::full_config();
    run.prepare();
    model = run.new_model();
    testing::stir_parameters(model->parameters(), 2);
  }
  Totals plain(const WindowObserver& observe = nullptr) const {
    return evaluate(*model, run.text->permutation, *run.text->tokenizer, text::Mode::kStream,
                    {run.folder / "valid.txt"}, nullptr, observe);
  }
  CacheEvaluator::Result cached(Index size, const std::optional<CacheMixture>& mixture) {
    CacheEvaluator evaluator(*run.backend, run.pool, size, mixture);
    const Totals totals = plain([&](const ScoredWindow& window) { evaluator.add(window); });
    CHECK(totals.nats == plain().nats);
    return evaluator.result(totals);
  }
  testing::TinyRun run;
  std::unique_ptr<model::GatedConvLm> model;
};

TEST_CASE("CacheEvaluator: lambda 0 is the model alone, to the bit", "[eval]") {
  Fixture it;
  const Totals plain = it.plain(), totals = it.cached(100, CacheMixture{1, 0}).totals;
  CHECK(totals.nats == plain.nats);
  CHECK(totals.squared_nats == plain.squared_nats);
  CHECK(totals.tokens == plain.tokens);
  CHECK(totals.counts == plain.counts);
}

TEST_CASE("CacheEvaluator: a window's tokens meet what the softmax read for them", "[eval]") {
  Fixture it;
  std::vector<Real> hidden;
  std::vector<int> targets;
  std::vector<double> nats;
  it.plain([&](const ScoredWindow& window) {
    std::vector<Real> part(window.targets.size() *
                           static_cast<std::size_t>(window.hidden.channels()));
    it.run.backend->store(window.hidden, part);
    hidden.insert(hidden.end(), part.begin(), part.end());
    targets.insert(targets.end(), window.targets.begin(), window.targets.end());
    nats.insert(nats.end(), window.nats.begin(), window.nats.end());
  });
  const Index width = it.model->softmax().width;
  REQUIRE(static_cast<Index>(hidden.size()) == width * static_cast<Index>(targets.size()));
  REQUIRE(targets.size() > 2 * static_cast<std::size_t>(kWindow));
  ContinuousCache cache(it.run.pool, 50, width, {2});
  std::vector<double> p_cache(targets.size());
  cache.add(hidden, targets, p_cache);
  double sum = 0;
  for (std::size_t i = 0; i < nats.size(); ++i) sum += cached_nats(nats[i], p_cache[i], 0.4);
  CHECK(it.cached(50, CacheMixture{2, 0.4}).totals.nats == Approx(sum).epsilon(1e-9));
}

TEST_CASE("CacheEvaluator: a text that says the same again gains, one that does not cannot lose",
          "[eval]") {
  Fixture it;
  const double plain = it.plain().nats;
  const CacheEvaluator::Result best = it.cached(500, std::nullopt);
  CHECK(best.totals.nats < 0.8 * plain);
  // What was found is what it says, and no pair of the grid is better.
  CHECK(it.cached(500, best.mixture).totals.nats == Approx(best.totals.nats).epsilon(1e-6));
  for (const double factor : {0.5, 2.0}) {
    const CacheMixture other = {best.mixture.theta * factor, best.mixture.lambda};
    CHECK(it.cached(500, other).totals.nats > best.totals.nats);
  }
  it.run.valid_text = "thequickbrownfx\n";
  it.run.prepare();
  const CacheEvaluator::Result none = it.cached(500, std::nullopt);
  CHECK(none.mixture.lambda == 0);
  CHECK(none.totals.nats == it.plain().nats);
}

TEST_CASE("CacheEvaluator: the grid of theta has the scale of the products", "[eval]") {
  const auto deviation_of = [](double deviation) {
    return theta_grid(testing::normal_values(2000, 1, deviation), 10);
  };
  const std::vector<double> grid = deviation_of(1);
  REQUIRE(grid.size() == 14);
  CHECK(grid[0] == 0);
  // Ten products of normal numbers have a variance of ten.
  CHECK(grid[1] == Approx(0.25 / std::sqrt(10.0)).epsilon(0.1));
  CHECK(grid[13] == Approx(16 / std::sqrt(10.0)).epsilon(0.1));
  // Vectors ten times as long have products a hundred times as large.
  CHECK(deviation_of(10)[1] == Approx(grid[1] / 100).epsilon(0.05));
  CHECK(theta_grid(std::vector<Real>(40, 1), 10) == std::vector<double>{0});
  CHECK(theta_grid(std::vector<Real>(10, 1), 10) == std::vector<double>{0});
}

}  // namespace
}  // namespace sluice::eval
