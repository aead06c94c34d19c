// A network trains alike on every backend, to float's precision; the twin's layout_f64_test.cc asks
// for more of the two that compute in double.
#include <catch2/catch.hpp>

#include "src/kernels/simd/simd_backend.h"
#include "tests/support/amx_emulator.h"
#include "tests/support/backends.h"
#include "tests/support/outcome.h"

namespace sluice::model {
namespace {

using kernels::Array;
using testing::block;
using testing::Outcome;

constexpr Index kVocabulary = 77;

struct Shape {
  Index sequences, time;
};

Index tokens_of(const Shape& shape) { return shape.sequences * shape.time; }

ModelConfig wide(OutputType output) {
  ModelConfig config =
      testing::tiny_config(17, {block({{.kernel = 4, .channels = 40}}),
                                block({{.kernel = 1, .channels = 16},
                                       {.kernel = 3, .channels = 16, .dilation = 2},
                                       {.kernel = 1, .channels = 40}}),
                                block({{.kernel = 2, .channels = 17, .dilation = 3}}, 2)});
  config.dropout = {.embedding = 0.1, .layer = 0.2, .output = 0.1, .tail = 0.2};
  config.output.type = output;
  config.output.cutoffs = {21, 50};
  config.output.tail_div = 2;
  return config;
}

struct Case {
  const char* name;
  ModelConfig config;
  kernels::UpdateKind kind = kernels::UpdateKind::kNag;
  Index vocabulary = kVocabulary;
  Shape first = {3, 15}, second = {1, 45};  // micro-batches of a step
  int steps = 3;
  bool carries = false;  // each goes on from that of the step before
};

std::vector<Case> cases() {
  std::vector<Case> all = {
      {"softmax", wide(OutputType::kSoftmax)},
      {"adaptive", wide(OutputType::kAdaptive), kernels::UpdateKind::kAdamw},
      {"tied adaptive", wide(OutputType::kAdaptive)},
      {"projected, no norm", wide(OutputType::kSoftmax), kernels::UpdateKind::kSgd},
      {"tied, gtu", wide(OutputType::kSoftmax), kernels::UpdateKind::kAdam},
      {"rms norm, tanh", wide(OutputType::kAdaptive), kernels::UpdateKind::kSgd},
      {"layer norm, projected", wide(OutputType::kSoftmax)}};
  all[2].config.output.tied = true;
  all[2].config.output.tail_div = 1;
  all[3].config.norm = Norm::kNone;
  all[3].config.output.projection = 23;
  all[4].config.output.tied = true;
  all[4].config.gate = kernels::Gate::kGtu;
  all[5].config.norm = Norm::kRms;
  all[5].config.gate = kernels::Gate::kTanh;
  all[6].config.norm = Norm::kLayer;
  all[6].config.output.projection = 23;
  return all;
}

// Of a size at which the loops of the vector kernels go round more than once: several groups of
// words in a table, of several squares each; rows of weight gradients in several runs (128); tiles
// in chunks of several (32 tiles and more, of at most 32 rows). The last one has groups as large as
// they get.
std::vector<Case> long_cases() {
  std::vector<Case> all = {
      {"softmax", wide(OutputType::kSoftmax), kernels::UpdateKind::kNag, 1100},
      {"adaptive", wide(OutputType::kAdaptive), kernels::UpdateKind::kAdamw, 1100 + 540 + 21},
      {"vocabulary", wide(OutputType::kSoftmax), kernels::UpdateKind::kNag, 16 * 512 + 3}};
  for (Case& c : all) {
    c.first = {4, 270};
    c.second = {1, 1050};
    c.steps = 2;
  }
  all[1].config.output.cutoffs = {21, 21 + 540};
  all[1].config.output.tail_div = 1;  // tails as wide as the head
  all[2].first = {2, 65};
  all[2].second = {1, 30};
  all[2].steps = 1;
  return all;
}

// As kFloatTolerance, by the longest sums: gradients of weights over the rows of both micro-batches
// and of the rows over the words, at most 8195 terms. That bound, 8195 * 2^-23 = 1e-3, would hide a
// wrong term; errors that add like a random walk stay below 8 sqrt(8195) * 2^-23 = 9e-5, where 8
// standard deviations do not happen in some 10^6 numbers. (Seen: up to 6e-6.)
constexpr double kLongTolerance = 9e-5;

// bf16x3: an operand is off by 2^-17 of itself at most, a product of two by 2^-16 = 1.5e-5 of their
// magnitudes, and a gradient has passed through up to six products, some of them with gates after
// them. (Seen: up to 2e-5; a wrong term shows as 1e-3 or more.)
constexpr double kSplitTolerance = 2e-4;
// bf16: 2^-9 an operand, 2^-8 a product; as above, in what is compared to the largest of its array.
constexpr double kNarrowTolerance = 5e-2;

// Steps of two micro-batches, the second one of another shape.
Outcome train_on(kernels::Backend& backend, const Case& c) {
  GatedConvLm model(c.config, c.vocabulary, backend, testing::kTrainingArrays);
  model.initialise(3);
  nn::ParameterStore& store = model.parameters();
  testing::stir_parameters(store, 4);
  const auto state = model.state(c.first.sequences, c.first.time, true),
             other = model.state(c.second.sequences, c.second.time, true);
  kernels::UpdateRule rule = {
      .kind = c.kind,
      .lr = 0.05,
      .scale = 1.0 / static_cast<double>(tokens_of(c.first) + tokens_of(c.second)),
      .momentum = 0.9,
      .beta2 = 0.99,
      .eps = 0.01,
      .matrix_decay = 0.1,
      .other_decay = 0.05};
  Outcome result;
  for (rule.step = 1; rule.step <= c.steps; ++rule.step) {
    const auto step = static_cast<std::uint64_t>(rule.step);
    for (GatedConvLm::State* part : {state.get(), other.get()}) {
      const auto [sequences, time, context] = part->map();
      const testing::TokenBatch batch = testing::token_batch(
          sequences, time, c.vocabulary, 2 * step + (part == other.get() ? 1 : 0), 7);
      if (c.carries && rule.step > 1) part->carry_context(*part);
      part->set_dropout(7, step, part == other.get() ? 3 : 0);
      result.add("nats of the batch", model.forward(batch.inputs, batch.targets, *part).nats);
      result.add("nats", model.nats(*part));
      model.backward(batch.inputs, *part);
    }
    result.add("gradient", store, Array::kGradient);
    result.add("norm of the gradient", store.squared_gradient_norm());
    store.update(rule);
  }
  for (const Array array : {Array::kValue, Array::kState0}) {
    result.add("array " + std::to_string(static_cast<int>(array)), store, array);
  }
  return result;
}

Outcome train(const std::string& name, int threads, const Case& c) {
  ThreadPool pool(threads);
  return train_on(*testing::make_backend(name, pool), c);
}

// Log-probabilities after windows that carry their context.
Outcome evaluate(const std::string& name, int threads, const Case& c) {
  ThreadPool pool(threads);
  const auto backend = testing::make_backend(name, pool);
  GatedConvLm model(c.config, kVocabulary, *backend, {Array::kValue});
  model.initialise(3);
  testing::stir_parameters(model.parameters(), 4);
  Outcome result;
  for (const auto& [sequences, time] : {std::pair<Index, Index>{1, 1}, {3, 1}, {2, 19}}) {
    const auto state = model.state(sequences, time, false);
    for (std::uint64_t window = 0; window < 12; ++window) {
      const auto batch = testing::token_batch(sequences, time, kVocabulary, window);
      model.forward(batch.inputs, batch.targets, *state);
      result.add("nats", model.nats(*state));
      std::vector<Real> log_p(kVocabulary);
      model.log_probabilities(*state, sequences * time - 1, log_p);
      result.add("log-probabilities", log_p);
      state->carry_context(*state);
    }
  }
  return result;
}

}  // namespace

TEST_CASE("GatedConvLm: training agrees on every backend, its bits on any number of threads",
          "[model]") {
  for (const Case& c : cases()) {
    INFO(c.name);
    const Outcome expected = train(testing::kReference, 1, c);
    for (const std::string& name : testing::backend_names()) {
      INFO(name);
      const Outcome actual = train(name, 1, c);
      testing::check_close(actual, expected);
      CHECK(train(name, 3, c) == actual);
    }
  }
}

TEST_CASE("GatedConvLm: long batches and large vocabularies train alike on every backend",
          "[model]") {
  for (const Case& c : long_cases()) {
    INFO(c.name);
    const Outcome expected = train(testing::kReference, 1, c);
    for (const std::string& name : testing::backend_names()) {
      if (name == testing::kReference) continue;
      INFO(name);
      const Outcome actual = train(name, 1, c);
      testing::check_close(actual, expected, kLongTolerance);
      CHECK(train(name, 3, c) == actual);
    }
  }
}

// Kernels may take rows in front of a sequence for zeros only where they are: not these. The second
// is of a size that minimal filtering serves.
TEST_CASE("GatedConvLm: windows that carry their context train alike on every backend", "[model]") {
  std::vector<Case> all = {
      {"direct", wide(OutputType::kAdaptive)},
      {"minimal filters",
       testing::tiny_config(100, {block({{.kernel = 4, .channels = 100}}, 2),
                                  block({{.kernel = 2, .channels = 260, .dilation = 1}})})}};
  all[1].first = {3, 50};
  all[1].second = {1, 140};
  all[1].config.dropout = testing::all_dropout(0.2);
  for (Case& c : all) {
    INFO(c.name);
    const Outcome without = train(testing::kReference, 1, c);
    c.carries = true;
    const Outcome expected = train(testing::kReference, 1, c);
    double effect = 0;
    for (std::size_t i = 0; i < expected.parts.size(); ++i) {
      effect = std::max(
          effect, testing::relative_difference(without.parts[i].second, expected.parts[i].second));
    }
    CHECK(effect > 2 * kNarrowTolerance);
    for (const std::string& name : testing::backend_names()) {
      INFO(name);
      const Outcome actual = train(name, 1, c);
      testing::check_close(actual, expected, kLongTolerance);
      CHECK(train(name, 3, c) == actual);
    }
    for (const auto& [precision, tolerance] :
         {std::pair{kernels::Precision::kBf16x3, kSplitTolerance},
          {kernels::Precision::kBf16, kNarrowTolerance}}) {
      for (const std::string& name : testing::narrowing_backend_names(precision)) {
        INFO(name);
        testing::check_close(train(name, 1, c), expected, tolerance);
      }
    }
  }
}

TEST_CASE("GatedConvLm: training in bf16 and bf16x3 agrees with f32, its bits on any threads",
          "[model]") {
  std::vector<Case> all = cases();
  all.push_back(long_cases()[1]);
  for (const Case& c : all) {
    INFO(c.name);
    const Outcome expected = train(testing::kReference, 1, c);
    for (const auto& [precision, tolerance] :
         {std::pair{kernels::Precision::kBf16x3, kSplitTolerance},
          {kernels::Precision::kBf16, kNarrowTolerance}}) {
      for (const std::string& name : testing::narrowing_backend_names(precision)) {
        INFO(name);
        const Outcome actual = train(name, 1, c);
        testing::check_close(actual, expected, tolerance);
        CHECK(train(name, 3, c) == actual);
      }
    }
  }
}

TEST_CASE("GatedConvLm: single tokens multiply floats in every precision", "[model]") {
  const auto log_probabilities = [](const std::string& name) {
    ThreadPool pool(1);
    const auto backend = testing::make_backend(name, pool);
    GatedConvLm model(cases()[1].config, kVocabulary, *backend, {Array::kValue});
    model.initialise(3);
    const auto state = model.state(2, 1, false);
    const testing::TokenBatch batch = testing::token_batch(2, 1, kVocabulary, 5);
    model.forward(batch.inputs, batch.targets, *state);
    std::vector<Real> log_p(kVocabulary);
    model.log_probabilities(*state, 1, log_p);
    return log_p;
  };
  for (const auto precision : {kernels::Precision::kBf16, kernels::Precision::kBf16x3}) {
    for (const std::string& name : testing::narrowing_backend_names(precision)) {
      INFO(name);
      CHECK(log_probabilities(name) == log_probabilities(name.substr(0, name.find(' '))));
    }
  }
}

#if SLUICE_TESTS_EMULATE_AMX
TEST_CASE("GatedConvLm: training on AMX tiles has the bits of the same tiles on vectors",
          "[model]") {
  using kernels::Precision;
  const auto* set = kernels::simd::find_kernels(kernels::InstructionSet::kAvx512);
  if (set == nullptr) {
    WARN("skipped: this CPU has no AVX-512");
    return;
  }
  kernels::simd::find_amx_kernels();
  const testing::AmxEmulator emulator;
  Case c = cases()[1];
  c.steps = 1;
  for (const Precision precision : {Precision::kBf16, Precision::kBf16x3}) {
    const auto train_with = [&](const kernels::simd::TileKernels& tiles, int threads) {
      ThreadPool pool(threads);
      const auto backend = kernels::simd::make_tile_backend(pool, *set, tiles, precision,
                                                            kernels::RowUpdates::kLazy);
      return train_on(*backend, c);
    };
    CHECK(train_with(kernels::simd::unchecked_amx_kernels(), 2) == train_with(set->tiles, 1));
  }
  CHECK_FALSE(emulator.has_tiles());
}
#endif

TEST_CASE("GatedConvLm: evaluation agrees on every backend, its bits on any number of threads",
          "[model]") {
  for (const Case& c : cases()) {
    INFO(c.name);
    const Outcome expected = evaluate(testing::kReference, 1, c);
    for (const std::string& name : testing::backend_names()) {
      INFO(name);
      const Outcome actual = evaluate(name, 1, c);
      testing::check_close(actual, expected);
      CHECK(evaluate(name, 3, c) == actual);
    }
  }
}

}  // namespace sluice::model
