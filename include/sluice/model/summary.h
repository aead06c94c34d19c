#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sluice/model/model_config.h"

namespace sluice::model {

enum class Part : std::uint8_t { kEmbedding, kBody, kOutput };

// One layer of a network, by size.
struct SummaryRow {
  std::string name;  // what its parameters' names begin with: "blocks.3.layers.0"
  Part part = Part::kBody;
  Index kernel = 1, dilation = 1;  // of a convolution
  Index in = 0, out = 0;           // channels; words where a table has a row for each
  bool paired = false;             // a product with 2 out columns
  Index parameters = 0;
  // Forward, per token for which the layer is computed: one for each weight of the product. A
  // lookup costs none; scales, gates and exponentials are not counted.
  Index multiply_adds = 0;
  Index receptive_field = 1;  // tokens that one of its outputs sees
  int tail = -1;              // of an adaptive output: which tail it belongs to
};

// The network that a config describes, layer by layer in the order of the computation, without
// building it.
struct Summary {
  std::vector<SummaryRow> rows;

  Index parameters() const;
  Index parameters(Part part) const;
  // Multiply-adds of forward per token when all is computed, as for a whole distribution.
  Index multiply_adds() const;
  // The same in training, where a tail is computed for the targets in it alone: share[i] is the
  // part of all targets that lies in tail i.
  double multiply_adds(std::span<const double> share) const;
};

// Error kUsage when an adaptive output has no cutoffs yet, and as check_output().
Summary summarise(const ModelConfig& config, Index vocabulary);

}  // namespace sluice::model
