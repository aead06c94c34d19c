// Dropout as the network places and keys it; the hash itself is in tests/kernels.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/model_bench.h"

namespace sluice::model {
namespace {

using kernels::Array;
using testing::block;
using testing::forward;
using testing::kVocabulary;
using Result = testing::ForwardResult;
using Subject = testing::ModelBench;

}  // namespace

TEST_CASE("GatedConvLm: dropout masks do not depend on how a step is cut into batches", "[model]") {
  // The second is wide, and so short that two sequences are cut over channels, four over rows.
  const bool wide = GENERATE(false, true);
  const Index time = wide ? 4 : 11;
  ModelConfig config = wide ? testing::tiny_config(20, {block({{.kernel = 3, .channels = 70}}, 2)})
                            : testing::full_config();
  config.dropout = testing::all_dropout(0.3);
  config.dropout.layer_locked = config.dropout.output_locked = GENERATE(false, true);
  config.dropout.word = 0.3;
  Subject subject(config);
  const testing::TokenBatch batch = testing::token_batch(4, time, kVocabulary, 5);
  const auto four = subject.model.state(4, time, true), two = subject.model.state(2, time, true);
  four->set_dropout(6, 1, 0);
  const Result whole = forward(subject.model, batch, *four);
  const auto difference = [&](std::uint64_t seed, std::uint64_t step, Index first) {
    two->set_dropout(seed, step, static_cast<std::uint64_t>(first));
    const Result part = forward(subject.model, testing::sequence(batch, time, 2, 2), *two);
    double worst = 0;
    for (std::size_t i = 0; i < part.nats.size(); ++i) {
      worst = std::max(worst,
                       std::abs(part.nats[i] - whole.nats[static_cast<std::size_t>(2 * time) + i]));
    }
    return worst;
  };
  CHECK(difference(6, 1, 2) <= 3e-6);
  // Another place in the step, another step, another seed: other masks.
  CHECK(difference(6, 1, 0) > 0.01);
  CHECK(difference(6, 2, 2) > 0.01);
  CHECK(difference(7, 1, 2) > 0.01);
}

// One token, so that a dropped element shows as a zero in a gradient: of the embedding (its own
// mask), of the layer's matrix (both masks, one after the other), of the softmax (the last mask).
TEST_CASE("GatedConvLm: dropout has a mask of its own at each place", "[model]") {
  constexpr std::size_t kChannels = 400;
  ModelConfig config = testing::tiny_config(kChannels, {block({{.channels = kChannels}})});
  config.norm = Norm::kNone;
  config.dropout = testing::all_dropout(0.5);
  Subject subject(config, 2);
  const auto state = subject.model.state(1, 1, true);
  const std::vector<int> input = {0}, target = {1};
  state->set_dropout(1, 1, 0);
  subject.model.forward(input, target, *state);
  subject.model.backward(input, *state);
  // kept[place][channel], from `stride` numbers per channel starting at `offset`.
  const auto kept = [&](const char* name, std::size_t offset, std::size_t stride) {
    const auto gradient =
        testing::read_parameter(subject.model.parameters(), name, Array::kGradient);
    std::vector<bool> mask(kChannels);
    for (std::size_t c = 0; c < kChannels; ++c) {
      for (std::size_t i = 0; i < stride; ++i) {
        mask[c] = mask[c] || gradient[offset + c * stride + i] != 0;
      }
    }
    return mask;
  };
  const auto embedding = kept("embedding.weight", 0, 1);
  const auto layer =
      kept("blocks.0.layers.0.conv.weight", 3 * kChannels * 2 * kChannels, 2 * kChannels);
  const auto output = kept("output.weight", 0, 1);
  std::size_t kept_embedding = 0, kept_layer = 0, kept_output = 0, both = 0;
  for (std::size_t c = 0; c < kChannels; ++c) {
    kept_embedding += embedding[c];
    kept_layer += layer[c];
    kept_output += output[c];
    both += embedding[c] && output[c];
    CHECK((embedding[c] || !layer[c]));
  }
  // Of 400: half, and a quarter, within five deviations (10 and 8.7).
  CHECK(std::abs(static_cast<double>(kept_embedding) - 200) < 50);
  CHECK(std::abs(static_cast<double>(kept_output) - 200) < 50);
  CHECK(std::abs(static_cast<double>(kept_layer) - 100) < 44);
  CHECK(std::abs(static_cast<double>(both) - 100) < 44);
}

// A network of single taps: what differs between two tokens of a sequence is the mask alone.
TEST_CASE("GatedConvLm: locked dropout treats all tokens of a sequence alike", "[model]") {
  ModelConfig config = testing::tiny_config(20, {block({{.kernel = 1, .channels = 20}}, 2)});
  double DropoutConfig::*const rate =
      GENERATE(&DropoutConfig::embedding, &DropoutConfig::layer, &DropoutConfig::output);
  config.dropout = testing::all_dropout(0);
  config.dropout.*rate = 0.5;
  const bool locked = GENERATE(false, true);
  config.dropout.embedding_locked = config.dropout.layer_locked = config.dropout.output_locked =
      locked;
  Subject subject(config);
  const auto state = subject.model.state(2, 5, true);
  state->set_dropout(1, 1, 0);
  const std::vector<int> inputs(10, 3), targets(10, 4);
  subject.model.forward(inputs, targets, *state);
  const std::span<const double> nats = subject.model.nats(*state);
  for (const std::size_t first : {0, 5}) {
    CHECK(std::equal(nats.begin() + first + 1, nats.begin() + first + 5, nats.begin() + first) ==
          locked);
  }
  CHECK(nats[0] != nats[5]);
}

// A word that is left out is a zero row for the whole step, the others are larger for it.
TEST_CASE("GatedConvLm: dropout of words takes their embedding away in all places", "[model]") {
  ModelConfig config = testing::tiny_config(20, {block({{.kernel = 1, .channels = 20}})});
  config.dropout = testing::all_dropout(0);
  config.dropout.word = 0.5;
  Subject subject(config);
  const auto state = subject.model.state(2, kVocabulary, true);
  std::vector<int> inputs;
  for (int i = 0; i < 2 * kVocabulary; ++i) inputs.push_back(i % static_cast<int>(kVocabulary));
  state->set_dropout(1, 1, 0);
  subject.model.forward(inputs, std::vector<int>(inputs.size(), 4), *state);
  subject.model.backward(inputs, *state);
  const auto gradient =
      testing::read_parameter(subject.model.parameters(), "embedding.weight", Array::kGradient);
  std::vector<double> plain, dropped;
  for (Index word = 0; word < kVocabulary; ++word) {
    const auto row = gradient.begin() + word * 20;
    const bool none = std::all_of(row, row + 20, [](Real x) { return x == 0; });
    const auto at = static_cast<std::size_t>(word);
    CHECK(subject.model.nats(*state)[at] ==
          subject.model.nats(*state)[at + static_cast<std::size_t>(kVocabulary)]);
    (none ? dropped : plain).push_back(subject.model.nats(*state)[at]);
  }
  REQUIRE(dropped.size() > 1);
  REQUIRE(plain.size() > 1);
  // Without an embedding one word is like another.
  CHECK(std::equal(dropped.begin() + 1, dropped.end(), dropped.begin()));
  CHECK(!std::equal(plain.begin() + 1, plain.end(), plain.begin()));
}

TEST_CASE("GatedConvLm: evaluation has no dropout", "[model]") {
  ModelConfig config = testing::full_config();
  Subject without(config);
  config.dropout = testing::all_dropout(0.3);
  Subject with(config);
  // The rates enter the initial values; the test wants the same.
  auto from = without.model.parameters().parameters().begin();
  for (nn::Parameter& to : with.model.parameters().parameters()) {
    with.model.parameters().write(
        to, Array::kValue,
        testing::read_parameter(without.model.parameters(), (from++)->name, Array::kValue));
  }
  with.model.parameters().refresh();
  const testing::TokenBatch batch = testing::token_batch(2, 9, kVocabulary, 5);
  const auto a = with.model.state(2, 9, false), b = without.model.state(2, 9, false);
  CHECK(forward(with.model, batch, *a).nats == forward(without.model, batch, *b).nats);
  // Training and evaluation memory give the same bits, too.
  const auto c = without.model.state(2, 9, true);
  CHECK(forward(without.model, batch, *c).nats == forward(without.model, batch, *b).nats);
}

}  // namespace sluice::model
