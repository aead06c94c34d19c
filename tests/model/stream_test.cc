#include "sluice/model/stream.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

constexpr Index kVocabulary = 23;
constexpr std::size_t kLength = 53;

struct Subject {
  Subject() : model(testing::full_config(), kVocabulary, *backend, 1) {
    model.initialise(3);
    testing::stir_parameters(model.parameters(), 4);
  }
  std::vector<double> score(Index window, std::vector<std::size_t> calls) const {
    Stream stream(model, window);
    std::vector<double> nats(kLength);
    std::size_t begin = 0;
    for (const std::size_t count : calls) {
      stream.score(std::span(batch.inputs).subspan(begin, count),
                   std::span(batch.targets).subspan(begin, count),
                   std::span(nats).subspan(begin, count));
      begin += count;
    }
    return nats;
  }
  testing::TokenBatch batch = testing::token_batch(1, kLength, kVocabulary, 9);
  ThreadPool pool{1};
  std::unique_ptr<kernels::Backend> backend = kernels::make_reference_backend(pool);
  GatedConvLm model;
};

double worst_difference(std::span<const double> a, std::span<const double> b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

}  // namespace

TEST_CASE("Stream: scores depend neither on the window nor on the calls", "[model]") {
  const Subject subject;
  const auto state = subject.model.state(1, kLength, false);
  subject.model.forward(subject.batch.inputs, subject.batch.targets, *state);
  const std::span<const double> expected = subject.model.nats(*state);
  constexpr double kTolerance = 3e-6;  // a few last places of a logit
  CHECK(worst_difference(subject.score(1024, {kLength}), expected) <= kTolerance);
  CHECK(worst_difference(subject.score(10, {kLength}), expected) <= kTolerance);
  CHECK(worst_difference(subject.score(1, {kLength}), expected) <= kTolerance);
  CHECK(worst_difference(subject.score(7, {1, 20, 0, 3, 7, 1, 21}), expected) <= kTolerance);
}

TEST_CASE("Stream: a prompt fed in any way leads to the same next distribution", "[model]") {
  const Subject subject;
  const std::span<const int> inputs = subject.batch.inputs;
  const auto next = [&](Index window, std::size_t first) {
    Stream stream(subject.model, window);
    stream.feed(inputs.first(first));
    for (const int& id : inputs.subspan(first)) stream.feed({&id, 1});
    std::vector<Real> log_p(kVocabulary);
    stream.next(log_p);
    return log_p;
  };
  const std::vector<Real> expected = next(1024, kLength);
  double sum = 0;
  for (const Real log_p : expected) sum += std::exp(static_cast<double>(log_p));
  CHECK(sum == Approx(1).margin(1e-6));
  for (const auto& [window, first] : {std::pair{8, 53}, {8, 30}, {1024, 52}, {16, 0}}) {
    const std::vector<Real> actual = next(window, static_cast<std::size_t>(first));
    for (std::size_t i = 0; i < actual.size(); ++i)
      CHECK(std::abs(actual[i] - expected[i]) < 3e-6F);
  }
}

TEST_CASE("Stream: what it feeds and what it scores share one history", "[model]") {
  const Subject subject;
  const std::vector<double> expected = subject.score(1024, {kLength});
  Stream stream(subject.model, 16);
  stream.feed(std::span(subject.batch.inputs).first(40));
  std::vector<double> nats(kLength - 40);
  stream.score(std::span(subject.batch.inputs).subspan(40),
               std::span(subject.batch.targets).subspan(40), nats);
  CHECK(worst_difference(nats, std::span(expected).subspan(40)) <= 3e-6);
}

}  // namespace sluice::model
