#include "sluice/model/summary.h"

#include <fmt/format.h>

#include <numeric>
#include <utility>

#include "sluice/model/gated_conv_lm.h"

namespace sluice::model {
namespace {

class Builder {
 public:
  Builder(const ModelConfig& config, Index vocabulary) : config_(config), vocabulary_(vocabulary) {}

  Summary build() {
    const Index embedding = config_.embedding_dim;
    rows_.push_back({.name = "embedding",
                     .part = Part::kEmbedding,
                     .in = vocabulary_,
                     .out = embedding,
                     .parameters = vocabulary_ * embedding});
    if (has_input_projection(config_)) {
      add_product({.name = "input_projection", .in = embedding, .out = first_width(config_)});
    }
    Index width = first_width(config_), block = 0;
    for (const BlockConfig& each : expanded_blocks(config_)) add_block(each, block++, width);
    add_output(width);
    return {std::move(rows_)};
  }

 private:
  // A convolution or linear layer with bias, under the config's norm.
  void add_product(SummaryRow row) {
    const Index columns = row.paired ? 2 * row.out : row.out;
    row.multiply_adds = row.kernel * row.in * columns;
    row.parameters = row.multiply_adds + columns + (config_.norm == Norm::kWeight ? columns : 0);
    row.receptive_field = field_;
    rows_.push_back(std::move(row));
  }

  // Gains, and of a layer norm offsets.
  void add_norm(std::string name, Index width, Part part) {
    const std::optional<kernels::NormKind> kind = channel_norm(config_);
    if (!kind) return;
    rows_.push_back({.name = std::move(name),
                     .part = part,
                     .in = width,
                     .out = width,
                     .parameters = *kind == kernels::NormKind::kLayer ? 2 * width : width,
                     .receptive_field = field_});
  }

  void add_block(const BlockConfig& block, Index number, Index& width) {
    const std::string name = fmt::format("blocks.{}", number);
    const Index in = width;
    add_norm(name + ".norm", in, Part::kBody);
    for (std::size_t i = 0; i < block.layers.size(); ++i) {
      const LayerConfig& layer = block.layers[i];
      field_ += (layer.kernel - 1) * layer.dilation;
      add_product({.name = fmt::format("{}.layers.{}", name, i),
                   .kernel = layer.kernel,
                   .dilation = layer.dilation,
                   .in = width,
                   .out = layer.channels,
                   .paired = kernels::is_paired(config_.gate)});
      width = layer.channels;
    }
    if (width != in) add_product({.name = name + ".projection", .in = in, .out = width});
  }

  void add_output(Index width) {
    add_norm("output_norm", width, Part::kOutput);
    if (has_output_projection(config_)) {
      add_product({.name = "output_projection",
                   .part = Part::kOutput,
                   .in = width,
                   .out = output_width(config_)});
    }
    const nn::SoftmaxShape shape = softmax_shape(config_, vocabulary_);
    if (shape.tails() > 0) return add_adaptive(shape);
    SummaryRow row = table("output", shape.width, shape.words, -1);
    if (config_.output.tied) row.parameters = 0;
    row.parameters += (shape.weight_norm ? shape.words : 0) + (shape.bias ? shape.words : 0);
    rows_.push_back(row);
  }

  // Head: the first words and a slot for each tail; tails: narrowed, then a table. No biases.
  void add_adaptive(const nn::SoftmaxShape& shape) {
    const bool tied = config_.output.tied;
    SummaryRow head = table("output.head", shape.width, shape.tail_begin(0) + shape.tails(), -1);
    if (tied) {
      head.name = "output.clusters";
      head.parameters = shape.tails() * shape.width;
    }
    rows_.push_back(head);
    for (Index tail = 0; tail < shape.tails(); ++tail) {
      const std::string name = fmt::format("output.tails.{}", tail);
      const int number = static_cast<int>(tail);
      const Index narrow = shape.tail_width(tail);
      rows_.push_back(table(name + ".projection", shape.width, narrow, number));
      SummaryRow words = table(name, narrow, shape.tail_end(tail) - shape.tail_begin(tail), number);
      if (tied) words.parameters = 0;
      rows_.push_back(words);
    }
  }

  SummaryRow table(std::string name, Index in, Index out, int tail) const {
    return {.name = std::move(name),
            .part = Part::kOutput,
            .in = in,
            .out = out,
            .parameters = in * out,
            .multiply_adds = in * out,
            .receptive_field = field_,
            .tail = tail};
  }

  const ModelConfig& config_;
  Index vocabulary_, field_ = 1;
  std::vector<SummaryRow> rows_;
};

}  // namespace

Index Summary::parameters() const {
  return std::accumulate(rows.begin(), rows.end(), Index{0},
                         [](Index sum, const SummaryRow& row) { return sum + row.parameters; });
}

Index Summary::parameters(Part part) const {
  Index sum = 0;
  for (const SummaryRow& row : rows) sum += row.part == part ? row.parameters : 0;
  return sum;
}

Index Summary::multiply_adds() const {
  return std::accumulate(rows.begin(), rows.end(), Index{0},
                         [](Index sum, const SummaryRow& row) { return sum + row.multiply_adds; });
}

double Summary::multiply_adds(std::span<const double> share) const {
  double sum = 0;
  for (const SummaryRow& row : rows) {
    const double part = row.tail < 0 ? 1 : share[static_cast<std::size_t>(row.tail)];
    sum += part * static_cast<double>(row.multiply_adds);
  }
  return sum;
}

Summary summarise(const ModelConfig& config, Index vocabulary) {
  check_output(config, vocabulary);
  return Builder(config, vocabulary).build();
}

}  // namespace sluice::model
