#pragma once

#include <map>
#include <string>

#include "sluice/model/gated_conv_lm.h"
#include "sluice/train/metrics.h"

namespace sluice::train {

// What one step did to each layer, in numbers that changed nothing in it: a row of metrics.jsonl.
// For every product and table, by the name that its parameters begin with:
//
//   grad_norm     |dL/dparameters|, L2, per target, before the clip
//   update_ratio  |change of v| / |v| by the step that was applied; null for a table so large that
//                 its copy would be felt (more than 2^22 numbers)
//
// and for every gated layer, over all micro-batches of the step:
//
//   gate_mean, gate_saturated   of kernels/statistics.h; null for gates that nothing opens
//   dz_norm       |dL/d(product)|, L2, per target: how much gradient reaches this depth. The linear
//                 half is what lets it through (Dauphin et al. 2017, section 3)
class Flow {
 public:
  explicit Flow(model::GatedConvLm& model) : model_(model) {}
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  // To be given to GatedConvLm::backward.
  model::GatedConvLm::BackwardObserver observer();
  // One optimiser step, as ParameterStore::update, and measured.
  void update(const kernels::UpdateRule& rule, Index targets);
  // After update().
  const FlowRow& row() const { return row_; }

 private:
  struct Layer {
    kernels::GateStatistics gate;
    double squared_dz = 0;
  };

  model::GatedConvLm& model_;
  std::map<std::string, Layer> layers_;  // seen in backward, by name
  FlowRow row_;
};

}  // namespace sluice::train
