#include "sluice/model/stream.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "sluice/kernels/instruction_set.h"
#include "tests/support/compare.h"
#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

constexpr Index kVocabulary = 11;
constexpr Index kLength = 150;

struct Subject {
  Subject() : model(testing::full_config(), kVocabulary, *backend, {kernels::Array::kValue}) {
    model.initialise(3);
    testing::stir_parameters(model.parameters(), 4);
  }
  // The whole text in one pass.
  std::vector<double> parallel() {
    const auto state = model.state(1, kLength, false);
    model.forward(text.inputs, text.targets, *state);
    const auto nats = model.nats(*state);
    return {nats.begin(), nats.end()};
  }
  ThreadPool pool{2};
  std::unique_ptr<kernels::Backend> backend = kernels::make_backend(pool);
  GatedConvLm model;
  testing::TokenBatch text = testing::token_batch(1, kLength, kVocabulary, 5);
};

double sum(const std::vector<double>& values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

TEST_CASE("Stream: scores do not depend on how the text is cut", "[model]") {
  Subject subject;
  const std::vector<double> whole = subject.parallel();
  for (const Index window : {1, 7, 64, 149, 150, 1024}) {
    CAPTURE(window);
    Stream stream(subject.model, window);
    std::vector<double> nats(kLength);
    stream.score(subject.text.inputs, subject.text.targets, nats);
    CHECK(largest_difference(nats, whole) < 1e-5);
    CHECK(std::abs(sum(nats) / sum(whole) - 1) < 1e-6);
  }
  // Windows that start without context would be far off: the test can tell.
  std::vector<double> forgetful(kLength);
  for (Index begin = 0; begin < kLength; begin += 10) {
    Stream stream(subject.model, 10);
    const auto at = static_cast<std::size_t>(begin);
    stream.score(std::span(subject.text.inputs).subspan(at, 10),
                 std::span(subject.text.targets).subspan(at, 10),
                 std::span(forgetful).subspan(at, 10));
  }
  CHECK(largest_difference(forgetful, whole) > 1e-2);
}

TEST_CASE("Stream: calls of any length follow each other", "[model]") {
  Subject subject;
  const std::vector<double> whole = subject.parallel();
  Stream stream(subject.model, 16);
  std::vector<double> nats(kLength);
  std::size_t at = 0;
  for (const std::size_t length : {1u, 16u, 1u, 5u, 40u, 5u, 6u, 16u, 33u, 1u, 26u}) {
    stream.score(std::span(subject.text.inputs).subspan(at, length),
                 std::span(subject.text.targets).subspan(at, length),
                 std::span(nats).subspan(at, length));
    at += length;
  }
  REQUIRE(at == kLength);
  CHECK(largest_difference(nats, whole) < 1e-5);
}

TEST_CASE("Stream: after a prompt, the next word has the probabilities that scoring gives it",
          "[model]") {
  Subject subject;
  const std::vector<double> whole = subject.parallel();
  Stream stream(subject.model, 8);
  std::size_t fed = 0;
  std::vector<Real> log_probabilities(kVocabulary);
  for (const std::size_t length : {9u, 1u, 1u, 8u, 3u, 1u}) {
    stream.feed(std::span(subject.text.inputs).subspan(fed, length));
    fed += length;
    stream.next(log_probabilities);
    double mass = 0;
    for (const Real value : log_probabilities) mass += std::exp(static_cast<double>(value));
    CHECK(mass == Approx(1).epsilon(1e-5));
    const auto target = static_cast<std::size_t>(subject.text.targets[fed - 1]);
    CHECK(-static_cast<double>(log_probabilities[target]) == Approx(whole[fed - 1]).margin(1e-5));
  }
}

TEST_CASE("Stream: what is fed and what is scored share one history", "[model]") {
  Subject subject;
  const std::vector<double> whole = subject.parallel();
  Stream stream(subject.model, 16);
  stream.feed(std::span(subject.text.inputs).first(40));
  std::vector<double> nats(kLength - 40);
  stream.score(std::span(subject.text.inputs).subspan(40),
               std::span(subject.text.targets).subspan(40), nats);
  CHECK(largest_difference(nats, {whole.begin() + 40, whole.end()}) < 1e-5);
}

TEST_CASE("Stream: a prompt is fed as anything else", "[model]") {
  Subject subject;
  const std::vector<double> whole = subject.parallel();
  for (const std::size_t length : {1u, 4u, 5u, 14u}) {
    Stream stream(subject.model, 4);
    stream.feed_prompt(std::span(subject.text.inputs).first(length));
    std::vector<Real> log_probabilities(kVocabulary);
    stream.next(log_probabilities);
    const auto target = static_cast<std::size_t>(subject.text.targets[length - 1]);
    CHECK(-static_cast<double>(log_probabilities[target]) ==
          Approx(whole[length - 1]).margin(1e-5));
    std::vector<double> nats(kLength - length);
    stream.score(std::span(subject.text.inputs).subspan(length),
                 std::span(subject.text.targets).subspan(length), nats);
    CHECK(largest_difference(
              nats, {whole.begin() + static_cast<std::ptrdiff_t>(length), whole.end()}) < 1e-5);
  }
}

}  // namespace
}  // namespace sluice::model
