#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/formats/safetensors.h"
#include "sluice/model/gated_conv_lm.h"
#include "sluice/train/train_state.h"

namespace sluice::train {

// What makes a model file self-contained besides its weights.
struct ModelInfo {
  std::string config;            // resolved config, JSON; opaque here
  std::string tokenizer;         // text::Tokenizer::serialise()
  std::vector<int> permutation;  // model id of each tokenizer id
  std::uint64_t data_hash = 0;   // of the training text
  std::uint64_t valid_hash = 0;  // of the validation text
  std::uint64_t tokenizer_hash = 0;
  // What the products of its run are computed in from here on, whatever train.precision leaves
  // open.
  kernels::Precision precision = kernels::Precision::kF32;
};

// A model file is safetensors: the parameters under their dotted names (F32, logical shapes),
// "sluice.tokenizer" (U8), "sluice.permutation" (I32), and in the metadata "sluice.format" "1",
// "sluice.kind" "model" or "checkpoint", "sluice.version", "sluice.config", "sluice.state",
// "sluice.data_hash", "sluice.valid_hash", "sluice.tokenizer_hash", "sluice.precision" (not in the
// first files of format 1, which are of f32). A checkpoint adds the
// optimiser's states as "optimizer.0.NAME" and "optimizer.1.NAME", moving averages as "ema.NAME",
// and with `carried`, the memory of a run whose batches go on from it, its context as "context.0",
// "context.1" and so on, [B, P, channels] each. Written atomically. Errors:
// kOutput; kDiverged when a number is not finite, since nothing could be made of such a file.
void save_model(const std::string& path, const ModelInfo& info, const TrainState& state,
                const model::GatedConvLm& model);
void save_checkpoint(const std::string& path, const ModelInfo& info, const TrainState& state,
                     const model::GatedConvLm& model,
                     const model::GatedConvLm::State* carried = nullptr);

// Whether a tensor of a checkpoint serves training only, by its name; and of these whether it is
// context, no part of the network.
bool is_training_tensor(std::string_view name);
bool is_context_tensor(std::string_view name);
// The name of the context of one operand, numbered as in State::Context.
std::string context_tensor(std::size_t number);
// The tensors that a checkpoint has for a parameter beside its values when training uses `arrays`.
std::vector<std::string> training_tensors(const std::string& parameter, kernels::ArraySet arrays);

// A model file or checkpoint that has been opened and verified, checksums included.
class ModelFile {
 public:
  // Error kNoInput, or kBadData when damaged or not a file of ours.
  explicit ModelFile(const std::string& path);

  const std::string& path() const { return reader_.path(); }
  bool is_checkpoint() const { return checkpoint_; }
  const ModelInfo& info() const { return info_; }
  const TrainState& state() const { return state_; }
  const formats::SafetensorsReader& tensors() const { return reader_; }
  // Of what evaluates and generates: weights (as load() without states takes them), tokenizer,
  // permutation; equal for equal models.
  std::uint64_t hash() const;

  // Copies the parameters into `model`; with_states, for training, also the optimiser's states and
  // the averages. Without, a checkpoint that has averages gives them ("ema.NAME") as the values: it
  // evaluates as what its run validated. Error kBadData when a tensor is missing, left over, of
  // another shape or type, or not finite.
  void load(model::GatedConvLm& model, bool with_states) const;
  // For the memory of a run that goes on from it: of so many sequences, of so many rows of these
  // widths. Error kBadData when it has none, another one, or one that is not finite.
  model::GatedConvLm::State::Context context(Index sequences, Index rows,
                                             std::span<const Index> widths) const;

 private:
  bool has_averages() const;
  void read_finite(const formats::TensorInfo& tensor, std::vector<Real>& values) const;

  formats::SafetensorsReader reader_;
  ModelInfo info_;
  TrainState state_;
  bool checkpoint_ = false;
};

}  // namespace sluice::train
