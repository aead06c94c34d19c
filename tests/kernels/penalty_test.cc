#include <catch2/catch.hpp>

#include "tests/support/backends.h"
#include "tests/support/outcome.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

using testing::normal_values;
using testing::Outcome;

// Through the backward of a junction, whose dz shows both parts with their masks.
Outcome penalise(const std::string& name, int threads, Index channels, double rate) {
  ThreadPool pool(threads);
  const auto backend = testing::make_backend(name, pool);
  const RowMap map = {.sequences = 3, .time = 7, .context = 2};
  const auto size = static_cast<std::size_t>(map.tokens() * channels);
  const auto make = [&](Form form) { return backend->activations(map, channels, form); };
  const auto x = make(Form::kOperand), dropped = make(Form::kOperand), plain = make(Form::kOperand);
  const auto dy = make(Form::kGradient), ddropped = make(Form::kGradient);
  const auto dz = make(Form::kProduct), from = make(Form::kProduct);
  testing::WeightsBench square(*backend, ConvShape{.in = channels, .out = channels}, false);
  square.set_values(normal_values(static_cast<std::size_t>(channels * channels), 1, 0.2));
  Junction junction;
  junction.next = {.key = 5, .rate = rate};
  junction.dropped = dropped.get();
  junction.plain = plain.get();
  junction.dy = dy.get();
  junction.ddropped = ddropped.get();
  junction.dz = dz.get();
  std::vector<int> targets(static_cast<std::size_t>(map.tokens()), 1);
  targets[0] = targets[9] = targets[20] = -1;
  Outcome result;
  for (const ActivationPenalty& penalty :
       {ActivationPenalty{2, 0}, ActivationPenalty{0, 3}, ActivationPenalty{1, 2}}) {
    backend->load(*x, normal_values(size, 2, 1));
    backend->conv_forward(*x, square.weights(), junction);
    backend->penalise(junction, targets, penalty);
    backend->load(*from, normal_values(size, 3, 1));
    backend->conv_backward_data(*from, square.weights(), junction, Into::kClose);
    std::vector<Real> values(size);
    backend->store(*dz, values);
    result.add("dz", values);
  }
  return result;
}

}  // namespace

TEST_CASE("Backends: penalties on activations are alike, on any number of threads", "[kernels]") {
  for (const Index channels : {5, 16, 40}) {
    for (const double rate : {0.0, 0.4}) {
      INFO(channels << " channels, rate " << rate);
      const Outcome expected = penalise(testing::kReference, 1, channels, rate);
      for (const std::string& name : testing::backend_names()) {
        INFO(name);
        const Outcome actual = penalise(name, 1, channels, rate);
        testing::check_close(actual, expected);
        CHECK(penalise(name, 3, channels, rate) == actual);
      }
    }
  }
}

}  // namespace sluice::kernels
