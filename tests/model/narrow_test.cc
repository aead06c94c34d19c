// A network with weights in fewer bits: what writes text and what scores it agree.
#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/model/batch_stream.h"
#include "tests/support/backends.h"
#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

constexpr Index kVocabulary = 150;

ModelConfig config_of(bool adaptive, bool tied) {
  ModelConfig config = testing::full_config();
  config.embedding_dim = 20;
  config.output.tied = tied;
  if (adaptive) {
    config.output.type = OutputType::kAdaptive;
    config.output.cutoffs = {37, 90};
    config.output.tail_div = tied ? 1 : 2;
  }
  return config;
}

// -log p of the words of a text, in one pass, and as they would be written one by one.
std::vector<double> scored(const GatedConvLm& model, const testing::TokenBatch& text) {
  const auto state = model.state(1, static_cast<Index>(text.inputs.size()), false);
  model.forward(text.inputs, text.targets, *state);
  const auto nats = model.nats(*state);
  return {nats.begin(), nats.end()};
}

std::vector<double> written(const GatedConvLm& model, const testing::TokenBatch& text) {
  Stream prompt(model);
  prompt.feed_prompt(std::span(text.inputs).first(1));
  BatchStream stream(model);
  BatchStream::Origin origin = {.prompt = &prompt};
  std::vector<Real> log_p(kVocabulary);
  prompt.next(log_p);
  std::vector<double> nats = {
      -static_cast<double>(log_p[static_cast<std::size_t>(text.targets[0])])};
  for (std::size_t t = 1; t < text.inputs.size(); ++t) {
    stream.advance({&origin, 1}, std::span(text.inputs).subspan(t, 1));
    stream.next(log_p);
    nats.push_back(-static_cast<double>(log_p[static_cast<std::size_t>(text.targets[t])]));
    origin.prompt = nullptr;
  }
  return nats;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("GatedConvLm::narrow: writing and scoring compute with the same weights", "[model]") {
  const std::string name = GENERATE(from_range(testing::backend_names()));
  const bool adaptive = GENERATE(false, true), tied = GENERATE(false, true);
  const auto format = GENERATE(kernels::WeightFormat::kBfloat16, kernels::WeightFormat::kInt8);
  INFO(name << ", adaptive " << adaptive << ", tied " << tied << ", " << name_of(format));
  ThreadPool pool(2);
  const auto backend = testing::make_backend(name, pool);
  GatedConvLm model(config_of(adaptive, tied), kVocabulary, *backend, {kernels::Array::kValue});
  model.initialise(1);
  testing::stir_parameters(model.parameters(), 2);
  const testing::TokenBatch text = testing::token_batch(1, 30, kVocabulary, 3);
  const std::vector<double> before = scored(model, text);
  const auto embedding =
      testing::read_parameter(model.parameters(), "embedding.weight", kernels::Array::kValue);
  model.narrow(format);
  const std::vector<double> after = scored(model, text);
  CHECK(largest_difference(written(model, text), after) < 2e-5);
  CHECK(largest_difference(before, after) > 1e-4);
  CHECK(largest_difference(before, after) < 0.1);
  const bool kept = testing::read_parameter(model.parameters(), "embedding.weight",
                                            kernels::Array::kValue) == embedding;
  CHECK(kept == !tied);
}

}  // namespace sluice::model
