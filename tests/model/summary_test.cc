#include "sluice/model/summary.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "sluice/config/config.h"
#include "sluice/kernels/instruction_set.h"
#include "tests/config/refusal.h"
#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

using config::load_config;
using config::refusal;
using testing::block;
using testing::full_config;
using testing::tiny_config;

constexpr Index kVocabulary = 23;

struct Case {
  std::string name;
  ModelConfig config;
};

OutputConfig adaptive_output(std::vector<Index> cutoffs, Index tail_div = 4) {
  OutputConfig output;
  output.type = OutputType::kAdaptive;
  output.cutoffs = std::move(cutoffs);
  output.tail_div = tail_div;
  return output;
}

// The summary against the parameters that a network declares: in all, and layer by layer.
void check_against_store(const Case& test) {
  INFO(test.name);
  ThreadPool pool(1);
  const auto backend = kernels::make_backend(pool);
  const GatedConvLm network(test.config, kVocabulary, *backend, {});
  const Summary summary = summarise(test.config, kVocabulary);
  CHECK(summary.parameters() == network.parameters().elements());
  Index named = 0;
  for (const SummaryRow& row : summary.rows) {
    INFO(row.name);
    Index declared = 0;
    for (const nn::Parameter& parameter : network.parameters().parameters()) {
      const std::size_t dot = parameter.name.rfind('.');
      const std::string owner = parameter.name.substr(0, dot);
      if (owner == row.name || owner == row.name + ".conv") declared += parameter.elements();
    }
    CHECK(row.parameters == declared);
    named += declared;
  }
  CHECK(named == network.parameters().elements());
}

ModelConfig changed(void (*change)(ModelConfig&)) {
  ModelConfig config = full_config();
  change(config);
  return config;
}

TEST_CASE("summarise: counts what a network declares: GLU, softmax", "[model]") {
  for (const Case& test : std::vector<Case>{
           {"every kind of block", full_config()},
           {"no weight norm", changed([](ModelConfig& c) { c.norm = Norm::kNone; })},
           {"rms norm", changed([](ModelConfig& c) { c.norm = Norm::kRms; })},
           {"layer norm",
            changed([](ModelConfig& c) { c.norm = Norm::kLayer, c.output.projection = 4; })},
           {"no bias", changed([](ModelConfig& c) { c.output.bias = false; })},
           {"always projected",
            changed([](ModelConfig& c) { c.input_projection = InputProjection::kAlways; })},
           {"never projected", tiny_config(7, {block({{.kernel = 3, .channels = 7}})})}}) {
    check_against_store(test);
  }
}

TEST_CASE("summarise: counts what a network declares: every gate and output", "[model]") {
  std::vector<Case> tests = {
      {"adaptive", changed([](ModelConfig& c) {
         c.output = adaptive_output({6, 14}, 2);
       })},
      {"adaptive without cutoffs", changed([](ModelConfig& c) { c.output = adaptive_output({}); })},
      {"adaptive behind a projection", changed([](ModelConfig& c) {
         c.output = adaptive_output({6, 14}, 2);
         c.output.projection = 4;
       })},
      {"adaptive and tied", changed([](ModelConfig& c) {
         c.output = adaptive_output({6, 14}, 1);
         c.output.tied = true;
       })},
      {"projection", changed([](ModelConfig& c) { c.output.projection = 4; })},
      {"projection, no weight norm",
       changed([](ModelConfig& c) { c.output.projection = 4, c.norm = Norm::kNone; })},
      {"tied", changed([](ModelConfig& c) { c.output.tied = true; })},
      {"tied through a projection",
       changed([](ModelConfig& c) { c.output.tied = true, c.embedding_dim = 6; })},
      {"tied, no bias",
       changed([](ModelConfig& c) { c.output.tied = true, c.output.bias = false; })}};
  for (const auto& [gate, name] : enum_names<kernels::Gate>) {
    tests.push_back({std::string(name), full_config()});
    tests.back().config.gate = gate;
  }
  for (const Case& test : tests) check_against_store(test);
}

double millions(Index count) { return std::round(static_cast<double>(count) / 1e5) / 10; }

TEST_CASE("summarise: the paper's networks have the published sizes", "[model]") {
  struct Published {
    const char* preset;
    double embedding, body, output, all;
    Index field;
  };
  for (const Published& net : {Published{"gcnn-14", 75.0, 102.1, 52.2, 229.3, 47},
                               Published{"gcnn-8", 75.0, 52.1, 22.5, 149.6, 25},
                               Published{"gcnn-14b", 101.6, 163.0, 163.8, 428.4, 57},
                               Published{"gcnn-13", 101.6, 167.4, 46.6, 315.6, 40},
                               Published{"gcnn-9", 101.6, 47.0, 29.4, 178.0, 28},
                               Published{"gcnn-8b", 101.6, 13.8, 76.7, 192.1, 25}}) {
    INFO(net.preset);
    const config::Config config = load_config(net.preset);
    // What the preset's limit on the vocabulary is for: info --config counts at it.
    const Summary summary = summarise(config.model, *config.tokenizer.vocab_size);
    CHECK(millions(summary.parameters(Part::kEmbedding)) == net.embedding);
    CHECK(millions(summary.parameters(Part::kBody)) == net.body);
    CHECK(millions(summary.parameters(Part::kOutput)) == net.output);
    CHECK(millions(summary.parameters()) == net.all);
    CHECK(summary.rows.back().receptive_field == net.field);
    CHECK(receptive_field(config.model) == net.field);
  }
}

TEST_CASE("summarise: the other cutoffs of the paper's small networks", "[model]") {
  config::Config config = load_config("gcnn-9");
  config.model.output.cutoffs = std::vector<Index>{2000, 10000, 50000};
  CHECK(millions(summarise(config.model, 793476).parameters()) == 162.9);
  config = load_config("gcnn-8b");
  config.model.output.cutoffs = std::vector<Index>{2000, 10000, 50000};
  CHECK(millions(summarise(config.model, 793476).parameters()) == 153.9);
}

TEST_CASE("summarise: multiply-adds and fields, layer by layer", "[model]") {
  const ModelConfig config =
      tiny_config(5, {block({{.kernel = 3, .channels = 4, .dilation = 2}}),
                      block({{.kernel = 1, .channels = 6}, {.kernel = 2, .channels = 7}})});
  const Summary summary = summarise(config, kVocabulary);
  std::vector<std::string> names;
  std::vector<Index> work, fields;
  for (const SummaryRow& row : summary.rows) {
    names.push_back(row.name);
    work.push_back(row.multiply_adds);
    fields.push_back(row.receptive_field);
  }
  CHECK(names == std::vector<std::string>{"embedding", "input_projection", "blocks.0.layers.0",
                                          "blocks.1.layers.0", "blocks.1.layers.1",
                                          "blocks.1.projection", "output"});
  CHECK(work == std::vector<Index>{0, 5 * 4, 3 * 4 * 8, 4 * 12, 2 * 6 * 14, 4 * 7, 7 * 23});
  CHECK(fields == std::vector<Index>{1, 1, 5, 5, 6, 6, 6});
  CHECK(summary.multiply_adds() == std::accumulate(work.begin(), work.end(), Index{0}));
}

TEST_CASE("summarise: a norm in front of each block and of the output", "[model]") {
  ModelConfig config = tiny_config(
      5, {block({{.kernel = 3, .channels = 4}}), block({{.kernel = 2, .channels = 7}})});
  config.norm = Norm::kLayer;
  std::vector<std::string> names;
  std::vector<Index> parameters;
  for (const SummaryRow& row : summarise(config, kVocabulary).rows) {
    if (!row.name.ends_with("norm")) continue;
    CHECK(row.multiply_adds == 0);
    names.push_back(row.name);
    parameters.push_back(row.parameters);
  }
  CHECK(names == std::vector<std::string>{"blocks.0.norm", "blocks.1.norm", "output_norm"});
  CHECK(parameters == std::vector<Index>{2 * 4, 2 * 4, 2 * 7});
}

TEST_CASE("summarise: in training a tail costs what its targets are", "[model]") {
  ModelConfig config = tiny_config(8, {block({{.kernel = 1, .channels = 8}})});
  config.output = adaptive_output({6, 14}, 2);
  const Summary summary = summarise(config, kVocabulary);
  const Index layer = 8 * 16, head = 8 * 8, first = 8 * 4 + 4 * 8, second = 8 * 2 + 2 * 9;
  CHECK(summary.multiply_adds() == layer + head + first + second);
  const std::vector<double> share = {0.25, 0.125};
  CHECK(summary.multiply_adds(share) == layer + head + 0.25 * first + 0.125 * second);
}

TEST_CASE("summarise: refuses cutoffs that are not there or do not fit", "[model]") {
  ModelConfig config = full_config();
  config.output.type = OutputType::kAdaptive;
  const auto refused = [&] {
    return refusal(ExitCode::kUsage, [&] { summarise(config, kVocabulary); });
  };
  CHECK(refused().starts_with("model.output.cutoffs: not known without a text (expected a list"));
  for (const std::vector<Index>& cutoffs :
       std::vector<std::vector<Index>>{{6, 24}, {6, 6}, {7, 6}}) {
    config.output.cutoffs = cutoffs;
    CHECK(refused().starts_with("model.output.cutoffs.1: "));
  }
  config.output.cutoffs = std::vector<Index>{6, 14};
  config.output.tail_div = 6;
  CHECK(refused().find("no channel left for its tail") != std::string::npos);
}

}  // namespace
}  // namespace sluice::model
