// A network that fairseq trained gives fairseq's own log-probabilities: wiring, weight norm,
// layouts and the two-layer output are its fconv_lm's.
#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/formats/safetensors.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/model/gated_conv_lm.h"
#include "tests/support/source_dir.h"
#include "tests/support/tiny_model.h"

namespace sluice::model {
namespace {

class Fixture {
 public:
  std::vector<Real> reals(const std::string& name) const {
    const formats::TensorInfo& tensor = reader_.get(name);
    std::vector<Real> values(tensor.elements());
    reader_.read(tensor, 0, std::as_writable_bytes(std::span(values)));
    return values;
  }
  std::vector<int> integers(const std::string& name) const {
    const formats::TensorInfo& tensor = reader_.get(name);
    std::vector<int> values(tensor.elements());
    reader_.read(tensor, 0, std::as_writable_bytes(std::span(values)));
    return values;
  }
  // torch's Linear has [out, in].
  std::vector<Real> transposed(const std::string& name) const {
    const auto& shape = reader_.get(name).shape;
    const std::vector<Real> values = reals(name);
    std::vector<Real> result(values.size());
    for (std::size_t row = 0; row < shape[0]; ++row) {
      for (std::size_t column = 0; column < shape[1]; ++column) {
        result[column * shape[0] + row] = values[row * shape[1] + column];
      }
    }
    return result;
  }

 private:
  formats::SafetensorsReader reader_{testing::source_dir() +
                                     "/tests/golden/fairseq_ce.safetensors"};
};

ModelConfig fairseq_config() {
  ModelConfig config = testing::tiny_config(24, {testing::block({{.kernel = 4, .channels = 32}}, 2),
                                                 testing::block({{.kernel = 1, .channels = 16},
                                                                 {.kernel = 5, .channels = 16},
                                                                 {.kernel = 1, .channels = 48}})});
  config.input_projection = InputProjection::kAlways;
  config.residual_scale = std::sqrt(0.5);
  config.output.projection = 24;
  return config;
}

void load(const Fixture& fixture, nn::ParameterStore& store) {
  std::size_t written = 0;
  const auto set = [&](const std::string& name, const std::vector<Real>& values) {
    for (nn::Parameter& parameter : store.parameters()) {
      if (parameter.name != name) continue;
      REQUIRE(static_cast<std::size_t>(parameter.elements()) == values.size());
      store.write(parameter, kernels::Array::kValue, values);
      ++written;
    }
  };
  const auto linear = [&](const std::string& ours, const std::string& theirs) {
    set(ours + ".weight_v", fixture.transposed(theirs + ".weight_v"));
    set(ours + ".weight_g", fixture.reals(theirs + ".weight_g"));
    set(ours + ".bias", fixture.reals(theirs + ".bias"));
  };
  const auto as_is = [&](const std::string& ours, const std::string& theirs) {
    set(ours + ".weight_v", fixture.reals(theirs + ".weight_v"));
    set(ours + ".weight_g", fixture.reals(theirs + ".weight_g"));
    set(ours + ".bias", fixture.reals(theirs + ".bias"));
  };
  set("embedding.weight", fixture.reals("decoder.embed_tokens.weight"));
  linear("input_projection", "decoder.fc1");
  as_is("blocks.0.layers.0.conv", "decoder.convolutions.0");
  as_is("blocks.1.layers.0.conv", "decoder.convolutions.1");
  as_is("blocks.2.layers.0.conv", "decoder.convolutions.2");
  as_is("blocks.2.layers.1.conv", "decoder.convolutions.3");
  as_is("blocks.2.layers.2.conv", "decoder.convolutions.4");
  linear("blocks.2.projection", "decoder.projections.4");
  linear("output_projection", "decoder.fc2");
  as_is("output", "decoder.fc3");
  REQUIRE(written == store.parameters().size());
  store.refresh();
}

}  // namespace

TEST_CASE("GatedConvLm: fairseq's weights give fairseq's log-probabilities", "[model]") {
  const Fixture fixture;
  ThreadPool pool(1);
  const auto backend = kernels::make_backend(pool);
  GatedConvLm model(fairseq_config(), 1000, *backend, {kernels::Array::kValue});
  load(fixture, model.parameters());
  const std::vector<int> inputs = fixture.integers("expected.input_ids");
  const std::vector<int> targets = fixture.integers("expected.target_ids");
  const std::vector<int> offsets = fixture.integers("expected.seq_offsets");
  const std::vector<Real> log_p = fixture.reals("expected.logprobs");
  const std::vector<Real> target_log_p = fixture.reals("expected.target_logprob");
  REQUIRE(inputs.size() == 125);
  double worst = 0, worst_target = 0, total = 0;
  for (std::size_t sequence = 0; sequence + 1 < offsets.size(); ++sequence) {
    const auto first = static_cast<std::size_t>(offsets[sequence]);
    const auto length = static_cast<std::size_t>(offsets[sequence + 1]) - first;
    const auto state = model.state(1, static_cast<Index>(length), false);
    total += model
                 .forward(std::span(inputs).subspan(first, length),
                          std::span(targets).subspan(first, length), *state)
                 .nats;
    std::vector<Real> row(1000);
    for (std::size_t t = 0; t < length; ++t) {
      worst_target = std::max(worst_target, std::abs(-model.nats(*state)[t] -
                                                     static_cast<double>(target_log_p[first + t])));
      model.log_probabilities(*state, static_cast<Index>(t), row);
      for (std::size_t word = 0; word < 1000; ++word) {
        const double expected = static_cast<double>(log_p[(first + t) * 1000 + word]);
        worst = std::max(worst, std::abs(static_cast<double>(row[word]) - expected));
      }
    }
  }
  CHECK(worst <= 2e-5);
  CHECK(worst_target <= 2e-5);
  CHECK(total == Approx(988.986826).epsilon(1e-6));
}

}  // namespace sluice::model
