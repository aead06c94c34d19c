#include "sluice/model/gated_conv_lm.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>

#include "tests/support/model_bench.h"

namespace sluice::model {
namespace {

using kernels::Array;
using testing::block;
using testing::forward;
using testing::kVocabulary;
using Result = testing::ForwardResult;
using Subject = testing::ModelBench;

ModelConfig normed(ModelConfig config, Norm norm) {
  config.norm = norm;
  return config;
}

}  // namespace

TEST_CASE("GatedConvLm: a prediction sees its receptive field, exactly, and no token after it",
          "[model]") {
  const ModelConfig config = GENERATE(
      testing::full_config(), normed(testing::full_config(), Norm::kRms),
      normed(testing::full_config(), Norm::kLayer),
      testing::tiny_config(
          6, {block({{.kernel = 5, .channels = 6}}), block({{.kernel = 1, .channels = 8}})}));
  Subject subject(config);
  const Index field = receptive_field(config);
  // As one short list of rows, where work is cut over channels, and as a long one.
  const Index time = GENERATE(16, 60), at = 20 % time;
  const Index sequences = time == 16 ? 1 : 2;
  const testing::TokenBatch batch = testing::token_batch(sequences, time, kVocabulary, 5);
  testing::TokenBatch changed = batch;
  int& input = changed.inputs[static_cast<std::size_t>((sequences - 1) * time + at)];
  input = (input + 1) % static_cast<int>(kVocabulary);
  const auto state = subject.model.state(sequences, time, false);
  const Result before = forward(subject.model, batch, *state);
  const Result after = forward(subject.model, changed, *state);
  const std::size_t width = before.hidden.size() / before.nats.size();
  for (Index token = 0; token < sequences * time; ++token) {
    const Index t = token - (sequences - 1) * time;
    const auto i = static_cast<std::size_t>(token);
    const bool same_hidden = std::equal(before.hidden.begin() + token * Index(width),
                                        before.hidden.begin() + (token + 1) * Index(width),
                                        after.hidden.begin() + token * Index(width));
    const bool sees = t >= at && t < at + field;
    INFO("token " << t << ", changed " << at << ", field " << field);
    CHECK(same_hidden == !sees);
    CHECK((before.nats[i] == after.nats[i]) == !sees);
  }
}

TEST_CASE("GatedConvLm: sequences in a batch are as if alone", "[model]") {
  Subject subject(
      normed(testing::full_config(), GENERATE(Norm::kWeight, Norm::kRms, Norm::kLayer)));
  constexpr Index kSequences = 5, kTime = 23;
  const testing::TokenBatch batch = testing::token_batch(kSequences, kTime, kVocabulary, 5);
  const auto together = subject.model.state(kSequences, kTime, false);
  const auto alone = subject.model.state(1, kTime, false);
  const Result all = forward(subject.model, batch, *together);
  for (Index s = 0; s < kSequences; ++s) {
    const Result one = forward(subject.model, testing::sequence(batch, kTime, s, 1), *alone);
    for (std::size_t t = 0; t < kTime; ++t) {
      CHECK(std::abs(one.nats[t] - all.nats[static_cast<std::size_t>(s) * kTime + t]) <= 1e-6);
    }
  }
}

TEST_CASE("GatedConvLm: windows with carried context are one long window", "[model]") {
  // The second is wide enough for short windows to be cut over channels.
  Subject subject(GENERATE(testing::full_config(), normed(testing::full_config(), Norm::kRms),
                           normed(testing::full_config(), Norm::kLayer),
                           testing::tiny_config(20, {block({{.kernel = 3, .channels = 70}}),
                                                     block({{.kernel = 2, .channels = 50}})})));
  constexpr Index kSequences = 3, kTime = 40;
  const testing::TokenBatch batch = testing::token_batch(kSequences, kTime, kVocabulary, 5);
  const auto whole = subject.model.state(kSequences, kTime, false);
  const Result expected = forward(subject.model, batch, *whole);

  using Lengths = std::vector<Index>;
  const Lengths lengths = GENERATE(Lengths(40, 1), Lengths{20, 20}, Lengths{8, 8, 8, 8, 8},
                                   Lengths{1, 7, 3, 2, 1, 1, 17, 1, 7}, Lengths{39, 1});
  std::map<Index, std::unique_ptr<GatedConvLm::State>> states;
  const GatedConvLm::State* previous = nullptr;
  Index begin = 0;
  double worst = 0, sum = 0;
  for (const Index length : lengths) {
    auto& state = states[length];
    if (state == nullptr) state = subject.model.state(kSequences, length, false);
    if (previous != nullptr) state->carry_context(*previous);
    const Result part =
        forward(subject.model, testing::window(batch, kTime, begin, begin + length), *state);
    for (Index s = 0; s < kSequences; ++s) {
      for (Index t = 0; t < length; ++t) {
        const auto at = static_cast<std::size_t>(s * kTime + begin + t);
        const double difference =
            std::abs(part.nats[static_cast<std::size_t>(s * length + t)] - expected.nats[at]);
        worst = std::max(worst, difference);
        sum += difference;
      }
    }
    previous = state.get();
    begin += length;
  }
  REQUIRE(begin == kTime);
  CHECK(sum / (kSequences * kTime) <= 5e-7);
  CHECK(worst <= 3e-6);  // a few last places of a logit

  // And a cleared context is the start of a stream again.
  auto& first = states[lengths[0]];
  first->clear_context();
  const Result again = forward(subject.model, testing::window(batch, kTime, 0, lengths[0]), *first);
  CHECK(std::abs(again.nats[0] - expected.nats[0]) <= 3e-6);
  CHECK(std::abs(
            again.nats.back() -
            expected.nats[static_cast<std::size_t>((kSequences - 1) * kTime + lengths[0] - 1)]) <=
        3e-6);
}

namespace {

// Everything three steps of training leave behind.
struct Trained {
  std::vector<double> nats;
  std::vector<Real> gradients, values, states;
  bool operator==(const Trained&) const = default;
};

Trained train(const ModelConfig& config, Index vocabulary, Index sequences, Index time,
              kernels::UpdateKind kind, int threads) {
  Subject subject(config, vocabulary, threads);
  nn::ParameterStore& store = subject.model.parameters();
  const auto state = subject.model.state(sequences, time, true);
  Trained trained;
  kernels::UpdateRule rule = {.kind = kind,
                              .lr = 0.02,
                              .momentum = 0.9,
                              .beta2 = 0.99,
                              .eps = 1e-6,
                              .matrix_decay = 0.01,
                              .other_decay = 0.01};
  for (std::uint64_t step = 1; step <= 3; ++step) {
    const auto batch = testing::token_batch(sequences, time, vocabulary, step, 7);
    state->set_dropout(1, step, 0);
    const Result result = forward(subject.model, batch, *state);
    trained.nats.insert(trained.nats.end(), result.nats.begin(), result.nats.end());
    subject.model.backward(batch.inputs, *state);
    const auto gradients = testing::read_all(store, Array::kGradient);
    trained.gradients.insert(trained.gradients.end(), gradients.begin(), gradients.end());
    rule.step = static_cast<std::int64_t>(step);
    rule.scale = 1 / std::sqrt(store.squared_gradient_norm());
    store.update(rule);
  }
  trained.values = testing::read_all(store, Array::kValue);
  trained.states = testing::read_all(store, Array::kState0);
  return trained;
}

}  // namespace

TEST_CASE("GatedConvLm: training gives the same bits with 1, 2 and 3 threads", "[model]") {
  const auto kind = GENERATE(kernels::UpdateKind::kNag, kernels::UpdateKind::kAdamw);
  ModelConfig config = testing::full_config();
  Index vocabulary = kVocabulary, sequences = 2, time = 7;
  SECTION("small") {}
  SECTION("several chunks of everything") {
    config = testing::tiny_config(40, {block({{.kernel = 3, .channels = 150}}),
                                       block({{.kernel = 1, .channels = 40},
                                              {.kernel = 3, .channels = 40, .dilation = 2},
                                              {.kernel = 1, .channels = 144}})});
    vocabulary = 700, sequences = 3, time = 110;
    SECTION("whole softmax") {}
    SECTION("two-layer softmax") { config.output.projection = 50; }
    SECTION("rms norm") { config.norm = Norm::kRms; }
    SECTION("layer norm") { config.norm = Norm::kLayer; }
    SECTION("adaptive softmax, tails over several chunks") {
      config.gate = kernels::Gate::kSwiglu;
      config.output.type = OutputType::kAdaptive;
      config.output.cutoffs = {80, 300};
    }
    SECTION("tied adaptive softmax") {
      config.gate = kernels::Gate::kGtu;
      config.output.type = OutputType::kAdaptive;
      config.output.cutoffs = {80, 300};
      config.output.tail_div = 1;
      config.output.tied = true;
    }
  }
  config.dropout = testing::all_dropout(0.2);
  config.dropout.tail = 0.1;
  const Trained one = train(config, vocabulary, sequences, time, kind, 1);
  CHECK(std::isfinite(one.nats.back()));
  CHECK(one == train(config, vocabulary, sequences, time, kind, 2));
  CHECK(one == train(config, vocabulary, sequences, time, kind, 3));
}

TEST_CASE("GatedConvLm: decoding gives the same bits with 1, 2 and 3 threads", "[model]") {
  const ModelConfig config = testing::tiny_config(30, {block({{.kernel = 3, .channels = 100}}, 2)});
  const auto decode = [&](int threads) {
    Subject subject(config, 700, threads);
    const auto state = subject.model.state(1, 1, false);
    std::vector<Real> all(700 * 4);
    for (std::size_t i = 0; i < 4; ++i) {
      const std::vector<int> input = {static_cast<int>(13 * i)};
      subject.model.forward_hidden(input, *state);
      subject.model.log_probabilities(*state, 0, std::span(all).subspan(700 * i, 700));
      state->carry_context(*state);
    }
    return all;
  };
  const std::vector<Real> one = decode(1);
  CHECK(one == decode(2));
  CHECK(one == decode(3));
}

TEST_CASE("GatedConvLm: a context that was stored is gone on from as the one it was", "[model]") {
  ModelConfig config = testing::full_config();
  config.dropout = testing::all_dropout(0.3);
  Subject subject(config);
  constexpr Index kSequences = 3, kTime = 9;
  const auto whole = subject.model.state(kSequences, kTime, true);
  const auto resumed = subject.model.state(kSequences, kTime, true);
  const auto batch = [](std::uint64_t seed) {
    return testing::token_batch(kSequences, kTime, kVocabulary, seed);
  };
  for (const std::uint64_t window : {1, 2}) {  // what the first left is in the second's context
    whole->carry_context(*whole);
    whole->set_dropout(1, window, 0);
    forward(subject.model, batch(window), *whole);
  }
  const auto context = whole->store_context();
  std::vector<Index> sizes;
  for (const auto& rows : context) sizes.push_back(static_cast<Index>(rows.size()));
  std::vector<Index> expected = whole->context_widths();
  for (Index& width : expected) width *= kSequences * context_rows(config);
  CHECK(sizes == expected);
  double bytes = 0;
  for (const Index size : sizes) bytes += 4 * static_cast<double>(size);
  CHECK(whole->context_bytes() == bytes);
  forward(subject.model, batch(3), *resumed);  // what it has is another's
  resumed->load_context(context);
  CHECK(resumed->store_context() == context);
  std::vector<std::vector<double>> nats;
  std::vector<std::vector<Real>> gradients;
  for (GatedConvLm::State* state : {whole.get(), resumed.get()}) {
    state->carry_context(*state);
    state->set_dropout(1, 3, 0);
    nats.push_back(forward(subject.model, batch(4), *state).nats);
    subject.model.backward(batch(4).inputs, *state);
    gradients.push_back(testing::read_all(subject.model.parameters(), Array::kGradient));
    subject.model.parameters().discard_gradient();
  }
  CHECK(nats[0] == nats[1]);
  CHECK(gradients[0] == gradients[1]);
  const auto other = subject.model.state(kSequences - 1, kTime, true);
  CHECK_THROWS_AS(other->load_context(context), Error);
  CHECK_THROWS_AS(whole->load_context({}), Error);
}

TEST_CASE("GatedConvLm: log-probabilities sum to 1 and agree with the loss", "[model]") {
  Subject subject(testing::full_config());
  const testing::TokenBatch batch = testing::token_batch(2, 9, kVocabulary, 5);
  const auto state = subject.model.state(2, 9, false);
  const Result result = forward(subject.model, batch, *state);
  for (Index token = 0; token < 18; ++token) {
    std::vector<Real> log_p(kVocabulary);
    subject.model.log_probabilities(*state, token, log_p);
    double sum = 0;
    for (const Real value : log_p) sum += std::exp(static_cast<double>(value));
    CHECK(sum == Approx(1).margin(1e-6));
    const auto i = static_cast<std::size_t>(token);
    const Real chosen = log_p[static_cast<std::size_t>(batch.targets[i])];
    CHECK(-static_cast<double>(chosen) == Approx(result.nats[i]).margin(1e-6));
  }
}

TEST_CASE("GatedConvLm: the loss counts scored targets only", "[model]") {
  Subject subject(testing::full_config());
  const testing::TokenBatch batch = testing::token_batch(2, 9, kVocabulary, 5, 3);
  const auto state = subject.model.state(2, 9, true);
  const Loss loss = subject.model.forward(batch.inputs, batch.targets, *state);
  CHECK(loss.targets == 12);
  double sum = 0;
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    const double nats = subject.model.nats(*state)[i];
    CHECK((nats == 0) == (batch.targets[i] < 0));
    sum += nats;
  }
  CHECK(loss.nats == sum);
}

TEST_CASE("GatedConvLm: masked positions send no gradient to their inputs", "[model]") {
  Subject subject(testing::full_config());
  constexpr Index kTime = 9;
  // Sequence 0 reads words 0..8 and is masked; sequence 1 reads words 9..17, masked from t = 4 on.
  testing::TokenBatch batch;
  for (int i = 0; i < 2 * kTime; ++i) {
    batch.inputs.push_back(i);
    batch.targets.push_back(i < kTime + 4 && i >= kTime ? 20 : -1);
  }
  const auto state = subject.model.state(2, kTime, true);
  subject.model.forward(batch.inputs, batch.targets, *state);
  subject.model.backward(batch.inputs, *state);
  const auto gradient =
      testing::read_parameter(subject.model.parameters(), "embedding.weight", Array::kGradient);
  const std::size_t width = gradient.size() / kVocabulary;
  for (std::size_t word = 0; word < kVocabulary; ++word) {
    const auto row = std::span(gradient).subspan(word * width, width);
    const bool zero = std::all_of(row.begin(), row.end(), [](Real g) { return g == 0; });
    INFO("word " << word);
    CHECK(zero == !(word >= 9 && word < 13));
  }
}

TEST_CASE("GatedConvLm: batches in flight do not disturb each other", "[model]") {
  ModelConfig config = testing::full_config();
  config.dropout = testing::all_dropout(0.2);
  Subject apart(config), together(config);
  const testing::TokenBatch one = testing::token_batch(2, 9, kVocabulary, 5);
  const testing::TokenBatch two = testing::token_batch(3, 6, kVocabulary, 6);
  const auto run = [&](GatedConvLm& model, bool interleaved) {
    const auto a = model.state(2, 9, true), b = model.state(3, 6, true);
    a->set_dropout(1, 1, 0);
    b->set_dropout(1, 1, 2);
    model.forward(one.inputs, one.targets, *a);
    if (interleaved) model.forward(two.inputs, two.targets, *b);
    model.backward(one.inputs, *a);
    if (!interleaved) model.forward(two.inputs, two.targets, *b);
    model.backward(two.inputs, *b);
    return testing::read_all(model.parameters(), Array::kGradient);
  };
  CHECK(run(apart.model, false) == run(together.model, true));
}

TEST_CASE("GatedConvLm: a value that is not finite reaches the loss", "[model]") {
  const Real broken =
      GENERATE(std::numeric_limits<Real>::quiet_NaN(), std::numeric_limits<Real>::infinity());
  const std::string name = GENERATE("embedding.weight", "blocks.0.layers.0.conv.weight_v",
                                    "blocks.1.layers.1.conv.bias", "output.weight");
  Subject subject(testing::full_config());
  testing::set_element(subject.model.parameters(), name, 1, broken);
  const testing::TokenBatch batch = testing::token_batch(4, 20, kVocabulary, 5);
  const auto state = subject.model.state(4, 20, true);
  const Loss loss = subject.model.forward(batch.inputs, batch.targets, *state);
  INFO(name << " " << broken);
  CHECK(!std::isfinite(loss.nats));
}

}  // namespace sluice::model
