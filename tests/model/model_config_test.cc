#include "sluice/model/model_config.h"

#include <catch2/catch.hpp>

namespace sluice::model {
namespace {

ModelConfig of(std::vector<BlockConfig> blocks) {
  ModelConfig config;
  config.blocks = std::move(blocks);
  return config;
}

BlockConfig single(Index kernel, Index channels, Index repeat, Index dilation = 1) {
  return {.layers = {{.kernel = kernel, .channels = channels, .dilation = dilation}},
          .repeat = repeat};
}

TEST_CASE("ModelConfig: receptive fields of the paper's networks", "[model]") {
  // Dauphin et al. 2017, table 1: GCNN-8 sees 25 tokens, GCNN-14 47.
  CHECK(receptive_field(of({single(4, 900, 8)})) == 25);
  CHECK(receptive_field(
            of({single(6, 850, 3), single(1, 850, 1), single(5, 850, 4), single(1, 850, 1),
                single(4, 850, 3), single(4, 1024, 1), single(4, 2048, 1)})) == 47);
}

TEST_CASE("ModelConfig: dilation widens the receptive field and the context rows", "[model]") {
  const ModelConfig config = of({single(3, 8, 2), single(4, 8, 1, 5)});
  CHECK(receptive_field(config) == 1 + 2 * 2 + 3 * 5);
  CHECK(context_rows(config) == 15);
}

TEST_CASE("ModelConfig: a network of single taps needs no context", "[model]") {
  CHECK(context_rows(of({single(1, 8, 3)})) == 0);
  CHECK(receptive_field(of({single(1, 8, 3)})) == 1);
}

TEST_CASE("ModelConfig: repeats are spelt out in order", "[model]") {
  const auto blocks = expanded_blocks(of({single(4, 8, 2), single(5, 16, 1)}));
  REQUIRE(blocks.size() == 3);
  CHECK(blocks[1].layers == single(4, 8, 1).layers);
  CHECK(blocks[2].layers == single(5, 16, 1).layers);
  CHECK(blocks[0].repeat == 1);
}

TEST_CASE("ModelConfig: the input projection stands where widths differ, or always", "[model]") {
  ModelConfig config = of({single(4, 8, 1), single(4, 12, 1)});
  config.embedding_dim = 8;
  CHECK_FALSE(has_input_projection(config));
  config.input_projection = InputProjection::kAlways;
  CHECK(has_input_projection(config));
  config.input_projection = InputProjection::kAuto;
  config.embedding_dim = 9;
  CHECK(has_input_projection(config));
  CHECK(first_width(config) == 8);
  CHECK(last_width(config) == 12);
}

}  // namespace
}  // namespace sluice::model
