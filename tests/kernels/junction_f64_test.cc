#include <catch2/catch.hpp>

#include "sluice/kernels/junction.h"
#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/tiny_model.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

constexpr RowMap kMap = {.sequences = 2, .time = 3, .context = 1};
constexpr Index kChannels = 5;
constexpr std::size_t kSize = 2 * 3 * 5;

}  // namespace

// The network's junctions have one reader behind `dropped`; adaptive tails will have several.
TEST_CASE("Junction: gradients of several readers add up, each through its own mask", "[kernels]") {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  INFO(name);
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  testing::WeightsBench identity(*backend, ConvShape{.in = kChannels, .out = kChannels}, false);
  std::vector<Real> eye(25);
  for (std::size_t i = 0; i < 5; ++i) eye[6 * i] = 1;
  identity.set_values(eye);
  const auto make = [&](Form form) { return backend->activations(kMap, kChannels, form); };
  const auto dropped = make(Form::kOperand), dy = make(Form::kGradient);
  const auto ddropped = make(Form::kGradient), dz = make(Form::kProduct);
  const auto plain = make(Form::kOperand), from = make(Form::kProduct);
  Junction junction;
  junction.scale = 0.5;
  junction.self = {.key = 1, .rate = 0.3, .first_sequence = 4};
  junction.next = {.key = 2, .rate = 0.4, .first_sequence = 4};
  junction.plain = plain.get();
  junction.dropped = dropped.get();
  junction.dy = dy.get();
  junction.ddropped = ddropped.get();
  junction.dz = dz.get();

  // What the two masks multiply by: forward of ones through the identity.
  const auto read = [&](const Activations& x) {
    std::vector<Real> values(kSize);
    backend->store(x, values);
    return values;
  };
  const auto ones = make(Form::kOperand);
  backend->load(*ones, std::vector<Real>(kSize, 1));
  backend->conv_forward(*ones, identity.weights(), junction);
  const std::vector<Real> self = read(*plain), both = read(*dropped);  // with the scale
  CHECK(std::count(self.begin(), self.end(), Real(0)) > 0);
  CHECK(std::count(both.begin(), both.end(), Real(0)) > std::count(self.begin(), self.end(), 0));

  const auto gradient = [](std::uint64_t seed) { return testing::normal_values(kSize, seed, 1); };
  const auto send = [&](std::uint64_t seed, Into into) {
    backend->load(*from, gradient(seed));
    backend->conv_backward_data(*from, identity.weights(), junction, into);
  };
  std::vector<Real> expected(kSize);
  for (const int round : {0, 1}) {  // the second finds nothing left of the first
    const std::uint64_t s = round == 0 ? 10 : 20;
    send(s, Into::kDy);
    send(s + 1, Into::kDropped);
    send(s + 2, Into::kDropped);
    send(s + 3, Into::kDy);
    send(s + 4, Into::kClose);
    for (std::size_t i = 0; i < kSize; ++i) {
      const Real through_both = gradient(s + 1)[i] + gradient(s + 2)[i] + gradient(s + 4)[i];
      expected[i] = both[i] * through_both + self[i] * (gradient(s)[i] + gradient(s + 3)[i]);
    }
    CHECK(testing::relative_difference(read(*dz), expected) <= 1e-12);
  }
}

}  // namespace sluice::kernels
