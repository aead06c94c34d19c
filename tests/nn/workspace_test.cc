#include "sluice/nn/workspace.h"

#include <malloc.h>

#include <catch2/catch.hpp>

#include "sluice/kernels/instruction_set.h"
#include "tests/support/tiny_model.h"

namespace sluice::nn {
namespace {

// Bytes that the program holds; 0 under sanitizers, whose allocator does not tell.
std::size_t allocated_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace

TEST_CASE("Workspace: nothing grows or moves once it has run", "[nn]") {
  const bool training = GENERATE(true, false);
  const int threads = GENERATE(1, 2);
  ThreadPool pool(threads);
  const auto backend = kernels::make_backend(pool);
  model::ModelConfig config = testing::full_config();
  config.dropout = testing::all_dropout(0.1);
  model::GatedConvLm model(config, 300, *backend, testing::kTrainingArrays);
  model.initialise(1);
  const auto state = model.state(3, 50, training);
  const testing::TokenBatch batch = testing::token_batch(3, 50, 300, 1);
  std::vector<double> nats(1);
  kernels::UpdateRule rule = {.lr = 0.01, .scale = 0.01, .momentum = 0.9};
  const auto run = [&](std::uint64_t step) {
    if (training) state->set_dropout(1, step, 0);
    model.forward(batch.inputs, batch.targets, *state);
    if (training) {
      model.backward(batch.inputs, *state);
      model.parameters().update(rule);
    } else {
      state->carry_context(*state);
    }
  };
  const auto place = [&] { return std::pair(&state->hidden(), model.nats(*state).data()); };
  // Tables note the steps that rows put off, in a list that grows to 16 places in these.
  for (std::uint64_t step = 1; step < 10; ++step) run(step);
  const auto before = place();
  const std::size_t bytes = allocated_bytes();
  for (std::uint64_t step = 10; step < 16; ++step) run(step);
  const std::size_t after = allocated_bytes();
  // The allocator's own lists move by some bytes; the smallest array of the state has 3 kB.
  CHECK(after <= bytes + 2048);
  CHECK(place() == before);
}

TEST_CASE("Workspace: batches of other shapes need no memory of their own", "[nn]") {
  ThreadPool pool(1);
  const auto backend = kernels::make_backend(pool);
  model::GatedConvLm model(testing::full_config(), 300, *backend, testing::kTrainingArrays);
  model.initialise(1);
  const auto state = model.state(3, 50, true);
  const double told = state->activation_bytes();
  const auto run = [&](Index sequences, Index time) {
    state->reshape(sequences, time);
    const testing::TokenBatch batch = testing::token_batch(sequences, time, 300, 1);
    model.forward(batch.inputs, batch.targets, *state);
    model.backward(batch.inputs, *state);
    model.parameters().discard_gradient();
  };
  run(3, 50);
  run(3, 50);
  const kernels::Activations* place = &state->hidden();
  const std::size_t bytes = allocated_bytes();
  for (const Index time : {7, 50, 1, 33, 49, 50}) run(3, time);
  run(8, 12);
  CHECK(allocated_bytes() <= bytes + 2048);
  CHECK(&state->hidden() == place);
  CHECK(state->activation_bytes() == told);
}

TEST_CASE("Workspace: evaluation has no memory for backward", "[nn]") {
  ThreadPool pool(1);
  const auto backend = kernels::make_backend(pool);
  Workspace evaluation(*backend, {.sequences = 1, .time = 2, .context = 1}, false);
  CHECK(evaluation.saved(3) == nullptr);
  CHECK(evaluation.gradient(3, Workspace::Gradient::kStream, 0) == nullptr);
  CHECK(evaluation.operand(3) != nullptr);
  CHECK(evaluation.operands().size() == 1);
}

TEST_CASE("Workspace: gradients of one width alternate between two arrays", "[nn]") {
  ThreadPool pool(1);
  const auto backend = kernels::make_backend(pool);
  Workspace workspace(*backend, {.sequences = 1, .time = 2, .context = 1}, true);
  using Gradient = Workspace::Gradient;
  const auto* even = workspace.gradient(3, Gradient::kProduct, 0);
  CHECK(workspace.gradient(3, Gradient::kProduct, 2) == even);
  CHECK(workspace.gradient(3, Gradient::kProduct, 1) != even);
  CHECK(workspace.gradient(4, Gradient::kProduct, 0) != even);
  CHECK(workspace.gradient(3, Gradient::kStream, 0) != even);
  CHECK(workspace.saved(3) != workspace.saved(3));
}

}  // namespace sluice::nn
