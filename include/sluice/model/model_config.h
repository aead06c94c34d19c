#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"

namespace sluice {
namespace model {

enum class InputProjection { kAuto, kAlways };
enum class GateName { kGlu };
enum class Norm { kWeight, kNone };
enum class OutputType { kSoftmax };

}  // namespace model

template <>
inline constexpr auto enum_names<model::InputProjection> =
    std::array{std::pair{model::InputProjection::kAuto, std::string_view("auto")},
               std::pair{model::InputProjection::kAlways, std::string_view("always")}};
template <>
inline constexpr auto enum_names<model::GateName> =
    std::array{std::pair{model::GateName::kGlu, std::string_view("glu")}};
template <>
inline constexpr auto enum_names<model::Norm> =
    std::array{std::pair{model::Norm::kWeight, std::string_view("weight")},
               std::pair{model::Norm::kNone, std::string_view("none")}};
template <>
inline constexpr auto enum_names<model::OutputType> =
    std::array{std::pair{model::OutputType::kSoftmax, std::string_view("softmax")}};

namespace model {

struct LayerConfig {
  Index kernel = 4;      // k: taps, in tokens
  Index channels = 256;  // C: output channels, after the gate
  Index dilation = 1;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("kernel", self.kernel, Range{.min = 1, .max = 1024}, "k: width of the convolution");
    visit("channels", self.channels, Range{.min = 1, .max = 1 << 20}, "output channels");
    visit("dilation", self.dilation, Range{.min = 1, .max = 1 << 16}, "tokens between two taps");
  }
  bool operator==(const LayerConfig&) const = default;
};

struct BlockConfig {
  std::vector<LayerConfig> layers = {LayerConfig{}};
  Index repeat = 1;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("layers", self.layers, Range{.min = 1}, "gated layers inside one residual path");
    visit("repeat", self.repeat, Range{.min = 1, .max = 10000}, "so many such blocks in a row");
  }
  bool operator==(const BlockConfig&) const = default;
};

struct DropoutConfig {
  double embedding = 0.1;  // of embedding elements
  double layer = 0.1;      // of what each gated layer reads
  double output = 0.1;     // of what the softmax reads

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    const Range rate{.min = 0, .max = 1, .below_max = true};
    visit("embedding", self.embedding, rate, "rate on the embedding");
    visit("layer", self.layer, rate, "rate on the input of each gated layer");
    visit("output", self.output, rate, "rate on the input of the softmax");
  }
  bool operator==(const DropoutConfig&) const = default;
};

struct OutputConfig {
  OutputType type = OutputType::kSoftmax;
  bool bias = true;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("type", self.type, Range{}, "softmax: over the whole vocabulary");
    visit("bias", self.bias, Range{}, "a bias for each word");
  }
  bool operator==(const OutputConfig&) const = default;
};

// "model" in the config: Dauphin et al. 2017, section 2 and table 1, as data.
struct ModelConfig {
  Index embedding_dim = 256;
  InputProjection input_projection = InputProjection::kAuto;
  std::vector<BlockConfig> blocks = {BlockConfig{.layers = {LayerConfig{}}, .repeat = 8}};
  GateName gate = GateName::kGlu;
  Norm norm = Norm::kWeight;
  double residual_scale = 0.70710678;
  DropoutConfig dropout;
  OutputConfig output;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("embedding_dim", self.embedding_dim, Range{.min = 1, .max = 1 << 20}, "E");
    visit("input_projection", self.input_projection, Range{},
          "linear layer from E to the first width: auto: only if they differ");
    visit("blocks", self.blocks, Range{.min = 1}, "the residual blocks, from input to output");
    visit("gate", self.gate, Range{}, "how the two halves of a gated layer meet");
    visit("norm", self.norm, Range{}, "weight: w = g v/|v| for each output channel");
    visit("residual_scale", self.residual_scale, Range{.min = 0, .max = 10, .above_min = true},
          "s in y = (x + h) s");
    visit("dropout", self.dropout, Range{}, "rates");
    visit("output", self.output, Range{}, "the output layer");
  }
  bool operator==(const ModelConfig&) const = default;
};

// Blocks with `repeat` spelt out.
std::vector<BlockConfig> expanded_blocks(const ModelConfig& config);
// Whether a linear layer stands between embedding and first block.
bool has_input_projection(const ModelConfig& config);
// Channels that the first block reads and that the output layer reads.
Index first_width(const ModelConfig& config);
Index last_width(const ModelConfig& config);
// R = 1 + sum of (k-1) * dilation over all layers: how many inputs one prediction sees.
Index receptive_field(const ModelConfig& config);
// P = max of (k-1) * dilation: context rows that every activation keeps.
Index context_rows(const ModelConfig& config);

}  // namespace model
}  // namespace sluice
