#include "sluice/train/flow.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/model_bench.h"
#include "tests/support/tiny_run.h"

namespace sluice::train {
namespace {

using kernels::Array;
using testing::ModelBench;
using testing::read_parameter;
using testing::TinyRun;
using testing::token_batch;
using testing::TokenBatch;

const kernels::UpdateRule kRule = {.kind = kernels::UpdateKind::kAdamw,
                                   .lr = 0.01,
                                   .scale = 0.1,
                                   .momentum = 0.9,
                                   .beta2 = 0.99,
                                   .eps = 1e-8};

double norm(const std::vector<Real>& values) {
  double sum = 0;
  for (const Real value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

double fact(const FlowRow& row, const std::string& layer, const std::string& key) {
  for (const auto& [name, facts] : row) {
    if (name != layer) continue;
    for (const auto& [fact, value] : facts) {
      if (fact == key) return value;
    }
  }
  FAIL("no " << key << " of " << layer);
  return 0;
}

// Two micro-batches and the step behind them, watched by `flow`.
constexpr Index kTargets = 2 * 2 * 9;
void step(model::GatedConvLm& model, Flow& flow) {
  const auto state = model.state(2, 9, true);
  for (const std::uint64_t seed : {1, 2}) {
    const TokenBatch batch = token_batch(2, 9, testing::kVocabulary, seed);
    model.forward(batch.inputs, batch.targets, *state);
    model.backward(batch.inputs, *state, flow.observer());
  }
  flow.update(kRule, kTargets);
}

TEST_CASE("Flow: is the optimiser's step, and names every layer once", "[train]") {
  ModelBench plain(testing::full_config()), watched(testing::full_config());
  const auto state = plain.model.state(2, 9, true);
  for (const std::uint64_t seed : {1, 2}) {
    const TokenBatch batch = token_batch(2, 9, testing::kVocabulary, seed);
    plain.model.forward(batch.inputs, batch.targets, *state);
    plain.model.backward(batch.inputs, *state);
  }
  plain.model.parameters().update(kRule);
  Flow flow(watched.model);
  step(watched.model, flow);
  for (const Array array : {Array::kValue, Array::kState0, Array::kState1}) {
    CHECK(testing::read_all(plain.model.parameters(), array) ==
          testing::read_all(watched.model.parameters(), array));
  }
  std::vector<std::string> names;
  for (const auto& [name, facts] : flow.row()) {
    names.push_back(name);
    CHECK(facts.size() == (name.find("layers") == std::string::npos ? 2U : 5U));
  }
  CHECK(names == std::vector<std::string>{
                     "embedding", "input_projection", "blocks.0.layers.0", "blocks.1.layers.0",
                     "blocks.1.layers.1", "blocks.1.layers.2", "blocks.2.layers.0",
                     "blocks.2.projection", "blocks.3.layers.0", "blocks.4.layers.0", "output"});
}

TEST_CASE("Flow: gradients per target and relative updates, by brute force", "[train]") {
  ModelBench measured(testing::full_config()), reference(testing::full_config());
  const auto state = reference.model.state(2, 9, true);
  for (const std::uint64_t seed : {1, 2}) {
    const TokenBatch batch = token_batch(2, 9, testing::kVocabulary, seed);
    reference.model.forward(batch.inputs, batch.targets, *state);
    reference.model.backward(batch.inputs, *state);
  }
  Flow flow(measured.model);
  step(measured.model, flow);
  const nn::ParameterStore& before = reference.model.parameters();
  const nn::ParameterStore& after = measured.model.parameters();
  for (const auto& [name, facts] : flow.row()) {
    INFO(name);
    double squares = 0;
    for (const nn::Parameter& parameter : before.parameters()) {
      if (!parameter.name.starts_with(name + ".")) continue;
      const double gradient = norm(read_parameter(before, parameter.name, Array::kGradient));
      squares += gradient * gradient;
      if (!parameter.name.ends_with("weight_v") && !parameter.name.ends_with("weight")) continue;
      const std::vector<Real> old = read_parameter(before, parameter.name, Array::kValue);
      std::vector<Real> change = read_parameter(after, parameter.name, Array::kValue);
      for (std::size_t i = 0; i < old.size(); ++i) change[i] -= old[i];
      CHECK(facts[1].second == Approx(norm(change) / norm(old)).epsilon(1e-4));
    }
    CHECK(facts[0].second == Approx(std::sqrt(squares) / kTargets).epsilon(1e-4));
  }
}

TEST_CASE("Flow: an adaptive output by its parts, its tied words under the embedding", "[train]") {
  const bool tied = GENERATE(false, true);
  model::ModelConfig config =
      testing::tiny_config(8, {testing::block({{.kernel = 2, .channels = 8}})});
  config.output.type = model::OutputType::kAdaptive;
  config.output.cutoffs = {9, 15};
  config.output.tail_div = tied ? 1 : 2;
  config.output.tied = tied;
  ModelBench bench(config);
  Flow flow(bench.model);
  step(bench.model, flow);
  std::vector<std::string> names;
  for (const auto& [name, facts] : flow.row()) {
    CAPTURE(name);
    names.push_back(name);
    REQUIRE(facts.front().first == std::string("grad_norm"));
    CHECK(facts.front().second > 0);
    CHECK(fact(flow.row(), name, "update_ratio") > 0);
  }
  if (tied) {
    CHECK(names == std::vector<std::string>{"embedding", "blocks.0.layers.0", "output.clusters",
                                            "output.tails.0.projection",
                                            "output.tails.1.projection"});
  } else {
    CHECK(names == std::vector<std::string>{"embedding", "blocks.0.layers.0", "output.head",
                                            "output.tails.0.projection", "output.tails.0",
                                            "output.tails.1.projection", "output.tails.1"});
  }
}

TEST_CASE("Flow: the gates' openings and the gradient that reaches a layer", "[train]") {
  // Without weights in the convolution the gates are sigma(bias); with one token, and no weight
  // norm, the bias gradient is dz.
  model::ModelConfig config =
      testing::tiny_config(4, {testing::block({{.kernel = 2, .channels = 4}}, 2)});
  config.norm = model::Norm::kNone;
  ModelBench bench(config);
  nn::ParameterStore& store = bench.model.parameters();
  const std::vector<Real> bias = {1, 2, 3, 4, 0, 5, -5, 1};  // gates 0.5, open, shut, 0.73
  for (nn::Parameter& parameter : store.parameters()) {
    if (parameter.name == "blocks.0.layers.0.conv.weight") {
      store.write(parameter, Array::kValue, std::vector<Real>(2 * 4 * 8));
    } else if (parameter.name == "blocks.0.layers.0.conv.bias") {
      store.write(parameter, Array::kValue, bias);
    }
  }
  store.refresh();
  const TokenBatch batch = token_batch(1, 1, testing::kVocabulary, 1);
  const auto state = bench.model.state(1, 1, true);
  Flow flow(bench.model);
  bench.model.forward(batch.inputs, batch.targets, *state);
  bench.model.backward(batch.inputs, *state, flow.observer());
  const double dz = norm(read_parameter(store, "blocks.0.layers.0.conv.bias", Array::kGradient));
  flow.update(kRule, 1);
  double mean = 0;
  for (std::size_t i = 4; i < 8; ++i) mean += 1 / (1 + std::exp(-static_cast<double>(bias[i]))) / 4;
  const std::string layer = "blocks.0.layers.0";
  CHECK(fact(flow.row(), layer, "gate_mean") == Approx(mean).epsilon(1e-6));
  CHECK(fact(flow.row(), layer, "gate_saturated") == 0.5);
  CHECK(fact(flow.row(), layer, "dz_norm") == Approx(dz).epsilon(1e-6));
  CHECK(dz > 0);
}

TEST_CASE("Flow: a table too large to be copied has no update ratio", "[train]") {
  const Index words = (Index{1} << 22) / 4 + 1;
  ModelBench bench(testing::tiny_config(4, {testing::block({{.kernel = 1, .channels = 4}})}),
                   words);
  const TokenBatch batch = token_batch(1, 2, words, 1);
  const auto state = bench.model.state(1, 2, true);
  Flow flow(bench.model);
  bench.model.forward(batch.inputs, batch.targets, *state);
  bench.model.backward(batch.inputs, *state, flow.observer());
  flow.update(kRule, 2);
  CHECK(std::isnan(fact(flow.row(), "embedding", "update_ratio")));
  CHECK(fact(flow.row(), "embedding", "grad_norm") > 0);
  CHECK(fact(flow.row(), "blocks.0.layers.0", "update_ratio") > 0);
}

struct Trained {
  std::vector<nlohmann::json> rows;
  std::vector<Real> values;
};
Trained train_with(Index flow_every, std::int64_t stop_at = -1) {
  TinyRun run;
  run.config.train.flow_every = flow_every;
  run.config.train.accumulate_steps = 2;
  run.prepare();
  RunDirectory directory = RunDirectory::open_new(run.folder / "run", false);
  auto model = run.new_model();
  TrainState state;
  if (stop_at >= 0) {
    // As if killed after `stop_at` steps: the next process finds rows beyond the checkpoint.
    run.config.train.save_every = 4;
    auto first = run.new_model();
    std::int64_t left = stop_at;
    run.trainer(*first, directory, {}, [&] { return left-- <= 0; }).run();
    const ModelFile checkpoint(directory.checkpoint_path(4));
    checkpoint.load(*model, true);
    state = checkpoint.state();
  }
  run.trainer(*model, directory, state).run();
  Trained result;
  std::istringstream lines(testing::read_text(directory.metrics_path()));
  for (std::string line; std::getline(lines, line);) {
    result.rows.push_back(nlohmann::json::parse(line));
  }
  result.values = testing::read_all(model->parameters(), Array::kValue);
  return result;
}

std::vector<std::int64_t> flow_steps(const Trained& trained) {
  std::vector<std::int64_t> steps;
  for (const auto& row : trained.rows) {
    if (row.contains("flow")) steps.push_back(row["step"]);
  }
  return steps;
}

TEST_CASE("Flow: a run writes a row when due, and trains as without", "[train]") {
  const Trained without = train_with(0), with = train_with(3);
  CHECK(flow_steps(without).empty());
  CHECK(flow_steps(with) == std::vector<std::int64_t>{3, 6, 9, 12});
  CHECK(without.values == with.values);
  CHECK(with.rows.size() == without.rows.size() + 4);
  for (const auto& row : with.rows) {
    if (!row.contains("flow")) continue;
    CHECK(row.size() == 2);
    CHECK(row["flow"]["blocks.1.layers.0"]["gate_mean"] > 0);
    CHECK(row["flow"]["output"]["update_ratio"] > 0);
  }
}

TEST_CASE("Flow: after a resume each row stands exactly once", "[train]") {
  const Trained whole = train_with(1), resumed = train_with(1, 9);
  CHECK(flow_steps(resumed) == flow_steps(whole));
  CHECK(resumed.values == whole.values);
  for (std::size_t i = 0; i < whole.rows.size(); ++i) {
    if (whole.rows[i].contains("flow")) CHECK(whole.rows[i] == resumed.rows.at(i));
  }
}

}  // namespace
}  // namespace sluice::train
