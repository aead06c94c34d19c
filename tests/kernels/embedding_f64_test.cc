#include <catch2/catch.hpp>

#include "tests/support/backends.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {

TEST_CASE("Embedding: rows and gradients equal PyTorch's, over two batches the sum", "[kernels]") {
  const std::string name = GENERATE(testing::kReference, testing::kBlocked);
  INFO(name);
  const testing::Golden golden("softmax_embedding");
  ThreadPool pool(1);
  const auto backend = testing::make_backend(name, pool);
  const RowMap map = {.sequences = 2, .time = 4, .context = 2};
  testing::WeightsBench bench(*backend, TableShape{.rows = 9, .width = 4}, false);
  bench.set_values(golden.values("emb.weight"));
  const auto out = backend->activations(map, 4, Form::kOperand);
  const auto dz = backend->activations(map, 4, Form::kProduct);
  const std::vector<int> ids = golden.values<int>("emb.ids");
  Junction junction;
  junction.dropped = out.get();
  backend->embed(bench.weights(), ids, junction);
  std::vector<Real> values(8 * 4);
  backend->store(*out, values);
  CHECK(testing::relative_difference(values, golden.values("emb.out")) == 0);

  backend->load(*dz, golden.values("emb.d_out"));
  backend->embed_backward(*dz, ids, bench.weights());
  // PyTorch was told that id 1 pads, so it has no gradient there; here every id is a word.
  const std::vector<Real> d_out = golden.values("emb.d_out");
  std::vector<Real> once = golden.values("emb.d_weight");
  for (std::size_t token = 0; token < ids.size(); ++token) {
    for (std::size_t c = 0; c < 4; ++c) {
      if (ids[token] == 1) once[4 + c] += d_out[4 * token + c];
    }
  }
  std::vector<Real> expected = once;
  CHECK(testing::relative_difference(bench.read(Array::kGradient, 36), expected) <= 1e-12);
  backend->embed_backward(*dz, ids, bench.weights());
  for (Real& value : expected) value *= 2;
  CHECK(testing::relative_difference(bench.read(Array::kGradient, 36), expected) <= 1e-12);
  // After a discarded step the next gradient is set, not added to.
  backend->discard_gradient(bench.weights());
  backend->embed_backward(*dz, ids, bench.weights());
  CHECK(testing::relative_difference(bench.read(Array::kGradient, 36), once) <= 1e-12);
}

}  // namespace sluice::kernels
