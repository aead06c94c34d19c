#include "sluice/model/model_config.h"

#include <catch2/catch.hpp>

#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

using testing::block;

// [1, narrow  k, narrow  1, wide], `repeat` times.
BlockConfig bottleneck(Index narrow, Index wide, Index repeat) {
  return block({{.kernel = 1, .channels = narrow},
                {.kernel = 5, .channels = narrow},
                {.kernel = 1, .channels = wide}},
               repeat);
}

}  // namespace

TEST_CASE("ModelConfig: receptive fields of the paper's networks", "[model]") {
  const auto field = [](std::vector<BlockConfig> blocks) {
    return receptive_field(testing::tiny_config(128, std::move(blocks)));
  };
  CHECK(field({block({{.kernel = 4, .channels = 900}}, 8)}) == 25);    // GCNN-8
  CHECK(field({block({{.kernel = 4, .channels = 1268}}, 13)}) == 40);  // GCNN-13
  CHECK(field({block({{.kernel = 6, .channels = 850}}, 3), block({{.kernel = 1, .channels = 850}}),
               block({{.kernel = 5, .channels = 850}}, 4), block({{.kernel = 1, .channels = 850}}),
               block({{.kernel = 4, .channels = 850}}, 3), block({{.kernel = 4, .channels = 1024}}),
               block({{.kernel = 4, .channels = 2048}})}) == 47);  // GCNN-14
  CHECK(field({block({{.kernel = 5, .channels = 512}}), bottleneck(128, 512, 3),
               bottleneck(512, 1024, 3), bottleneck(1024, 2048, 6), bottleneck(1024, 4096, 1)}) ==
        57);  // GCNN-14B
}

TEST_CASE("ModelConfig: dilation widens field and context", "[model]") {
  const ModelConfig config = testing::full_config();
  CHECK(receptive_field(config) == 1 + 2 + 3 + 3 + 2 * 4);
  CHECK(context_rows(config) == 4);
  CHECK(context_rows(testing::tiny_config(4, {block({{.kernel = 1, .channels = 4}})})) == 0);
}

TEST_CASE("ModelConfig: widths, repeats and the input projection", "[model]") {
  ModelConfig config = testing::full_config();
  CHECK(expanded_blocks(config).size() == 5);
  CHECK(expanded_blocks(config)[4] == expanded_blocks(config)[3]);
  CHECK(first_width(config) == 7);
  CHECK(last_width(config) == 5);
  CHECK(has_input_projection(config));
  config.embedding_dim = 7;
  CHECK_FALSE(has_input_projection(config));
  config.input_projection = InputProjection::kAlways;
  CHECK(has_input_projection(config));
}

}  // namespace sluice::model
