#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"
#include "sluice/kernels/gate.h"
#include "sluice/kernels/junction.h"
#include "sluice/kernels/norm.h"

namespace sluice {
namespace model {

enum class InputProjection { kAuto, kAlways };
enum class Norm { kWeight, kNone, kRms, kLayer };
enum class OutputType { kSoftmax, kAdaptive };

}  // namespace model

template <>
inline constexpr auto enum_names<model::InputProjection> =
    std::array{std::pair{model::InputProjection::kAuto, std::string_view("auto")},
               std::pair{model::InputProjection::kAlways, std::string_view("always")}};
template <>
inline constexpr auto enum_names<kernels::Gate> =
    std::array{std::pair{kernels::Gate::kGlu, std::string_view("glu")},
               std::pair{kernels::Gate::kGtu, std::string_view("gtu")},
               std::pair{kernels::Gate::kBilinear, std::string_view("bilinear")},
               std::pair{kernels::Gate::kSwiglu, std::string_view("swiglu")},
               std::pair{kernels::Gate::kGeglu, std::string_view("geglu")},
               std::pair{kernels::Gate::kReglu, std::string_view("reglu")},
               std::pair{kernels::Gate::kRelu, std::string_view("relu")},
               std::pair{kernels::Gate::kTanh, std::string_view("tanh")},
               std::pair{kernels::Gate::kLinear, std::string_view("linear")}};
template <>
inline constexpr auto enum_names<model::Norm> =
    std::array{std::pair{model::Norm::kWeight, std::string_view("weight")},
               std::pair{model::Norm::kNone, std::string_view("none")},
               std::pair{model::Norm::kRms, std::string_view("rms")},
               std::pair{model::Norm::kLayer, std::string_view("layer")}};
template <>
inline constexpr auto enum_names<model::OutputType> =
    std::array{std::pair{model::OutputType::kSoftmax, std::string_view("softmax")},
               std::pair{model::OutputType::kAdaptive, std::string_view("adaptive")}};

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
  double weight = 0.0;     // of the weights of gated layers, a mask per step
  double tail = 0.0;       // of what the words of an adaptive softmax's tails read
  double word = 0.0;       // of words, whose embedding is then zero for a whole step
  // Of the first three: one mask for all tokens of a sequence (kernels/dropout.h).
  bool embedding_locked = false, layer_locked = false, output_locked = false;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    const Range rate{.min = 0, .max = 1, .below_max = true};
    visit("embedding", self.embedding, rate, "rate on the embedding");
    visit("layer", self.layer, rate, "rate on the input of each gated layer");
    visit("output", self.output, rate, "rate on the input of the softmax");
    visit("weight", self.weight, rate,
          "rate on the weights of gated layers (weight drop), one mask for a whole step");
    visit("tail", self.tail, rate, "adaptive: rate behind the projection of each tail");
    visit("word", self.word, rate,
          "rate of words whose embedding is zero for a whole step, wherever they stand");
    visit("embedding_locked", self.embedding_locked, Range{},
          "embedding: one mask for all tokens of a sequence, so that channels are dropped");
    visit("layer_locked", self.layer_locked, Range{}, "the same for layer");
    visit("output_locked", self.output_locked, Range{}, "the same for output");
  }
  bool operator==(const DropoutConfig&) const = default;
};

struct OutputConfig {
  OutputType type = OutputType::kAdaptive;
  std::optional<std::vector<Index>> cutoffs;  // null or "auto": chosen from the training counts
  Index tail_div = 4;                         // tail i has width C / tail_div^(i+1)
  bool tied = false;
  bool bias = true;
  std::optional<Index> projection;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("type", self.type, Range{},
          "softmax: over the whole vocabulary; adaptive: frequent words first, rare ones in tails");
    visit("cutoffs", self.cutoffs, Range{.min = 1, .max = 1 << 28},
          "adaptive: where the head and each tail but the last end, in words by frequency; "
          "\"auto\": by a cost model from the training counts");
    visit("tail_div", self.tail_div, Range{.min = 1, .max = 1024},
          "adaptive: tail i reads C / tail_div^(i+1) channels");
    visit("tied", self.tied, Range{}, "the rows of the words are those of the embedding");
    visit("bias", self.bias, Range{}, "without cutoffs: a bias for each word");
    visit("projection", self.projection, Range{.min = 1, .max = 1 << 20},
          "width of a linear layer in front of the output; null: none, or E where tying needs it");
  }
  bool operator==(const OutputConfig&) const = default;
};

// "model" in the config: Dauphin et al. 2017, section 2 and table 1, as data.
struct ModelConfig {
  Index embedding_dim = 256;
  InputProjection input_projection = InputProjection::kAuto;
  std::vector<BlockConfig> blocks = {BlockConfig{.layers = {LayerConfig{}}, .repeat = 8}};
  kernels::Gate gate = kernels::Gate::kGlu;
  Norm norm = Norm::kWeight;
  double residual_scale = 0.70710678;
  DropoutConfig dropout;
  double activation_l2 = 0;
  double activation_change_l2 = 0;
  OutputConfig output;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("embedding_dim", self.embedding_dim, Range{.min = 1, .max = 1 << 20}, "E");
    visit("input_projection", self.input_projection, Range{},
          "linear layer from E to the first width: auto: only if they differ");
    visit("blocks", self.blocks, Range{.min = 1}, "the residual blocks, from input to output");
    visit("gate", self.gate, Range{},
          "how the halves a and b of a gated layer meet; relu, tanh, linear have no b");
    visit("norm", self.norm, Range{},
          "weight: w = g v/|v| for each output channel; rms, layer: of the channels that each "
          "block and the output read");
    visit("residual_scale", self.residual_scale, Range{.min = 0, .max = 10, .above_min = true},
          "s in y = (x + h) s");
    visit("dropout", self.dropout, Range{}, "rates");
    visit("activation_l2", self.activation_l2, Range{.min = 0, .max = 1e6},
          "added to the training loss: this times the mean square of what the softmax reads (AR)");
    visit("activation_change_l2", self.activation_change_l2, Range{.min = 0, .max = 1e6},
          "the same of its change from token to token, before dropout (TAR)");
    visit("output", self.output, Range{}, "the output layer");
  }
  bool operator==(const ModelConfig&) const = default;
};

// Blocks with `repeat` spelt out.
std::vector<BlockConfig> expanded_blocks(const ModelConfig& config);
// Whether a linear layer stands between embedding and first block.
bool has_input_projection(const ModelConfig& config);
// The norm in front of each block's first layer and of the output, if any.
std::optional<kernels::NormKind> channel_norm(const ModelConfig& config);
// Channels that the first block reads and that the last one writes.
Index first_width(const ModelConfig& config);
Index last_width(const ModelConfig& config);
// Whether a linear layer stands between the last block and the output; what the output reads.
bool has_output_projection(const ModelConfig& config);
Index output_width(const ModelConfig& config);
// Output keys that do not fit each other or, when it is known, the vocabulary: Error kUsage naming
// the key. Cutoffs that are still to be chosen fit.
void check_output(const ModelConfig& config, std::optional<Index> vocabulary);
// What the training loss has beside nats, and of what the softmax reads.
kernels::ActivationPenalty activation_penalty(const ModelConfig& config);
// R = 1 + sum of (k-1) * dilation over all layers: how many inputs one prediction sees.
Index receptive_field(const ModelConfig& config);
// P = max of (k-1) * dilation: context rows that every activation keeps.
Index context_rows(const ModelConfig& config);

}  // namespace model
}  // namespace sluice
