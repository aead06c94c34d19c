#include "sluice/config/open_model.h"

#include <filesystem>

#include "sluice/base/error.h"
#include "sluice/train/run_directory.h"

namespace sluice::config {

std::string model_path(const std::string& model, Which which) {
  std::error_code error;  // what cannot be looked at is a file that cannot be opened
  if (!std::filesystem::is_directory(model, error)) return model;
  if (!train::RunDirectory::is_run(model)) {
    throw Error(ExitCode::kNoInput, "{}: not a run directory (expected checkpoints and a model)",
                model);
  }
  const train::RunDirectory run = train::RunDirectory::open_to_read(model);
  if (which == Which::kBest && std::filesystem::exists(run.best_path(), error)) {
    return run.best_path();
  }
  const auto checkpoints = run.checkpoints();
  if (which == Which::kBest) {
    throw Error(ExitCode::kNoInput, "{}: no best model yet: the run has not validated{}", model,
                checkpoints.empty() ? "" : "; its last checkpoint is " + checkpoints[0].path);
  }
  if (checkpoints.empty()) throw Error(ExitCode::kNoInput, "{}: no checkpoint yet", model);
  return checkpoints.front().path;
}

ModelParts model_parts(const train::ModelFile& file) {
  const train::ModelInfo& info = file.info();
  const std::string source = file.path() + ": config";
  ModelParts parts;
  // The words that a user would be told, but it is the file that is wrong.
  try {
    parts.config = parse_config(info.config, source);
  } catch (const Error& error) {
    throw Error(ExitCode::kBadData, error.what());
  }
  try {
    check_config(parts.config);
  } catch (const Error& error) {
    throw Error(ExitCode::kBadData, "{}: {}", source, error.what());
  }
  parts.tokenizer = text::restore_tokenizer(info.tokenizer, file.path() + ": tokenizer");
  if (parts.tokenizer->hash() != info.tokenizer_hash) {
    throw Error(ExitCode::kBadData, "{}: tokenizer: not the one that the model was trained with",
                file.path());
  }
  try {
    parts.permutation = text::Permutation(info.permutation);
  } catch (const Error& error) {
    throw Error(ExitCode::kBadData, "{}: {}", file.path(), error.what());
  }
  if (parts.permutation.size() != parts.tokenizer->size()) {
    throw Error(ExitCode::kBadData, "{}: permutation: size (expected {}, found {})", file.path(),
                parts.tokenizer->size(), parts.permutation.size());
  }
  try {
    model::check_output(parts.config.model, parts.tokenizer->size());
  } catch (const Error& error) {
    throw Error(ExitCode::kBadData, "{}: {}", source, error.what());
  }
  if (parts.config.model.output.type == model::OutputType::kAdaptive &&
      !parts.config.model.output.cutoffs) {
    throw Error(ExitCode::kBadData, "{}: model.output.cutoffs: expected a list, found \"auto\"",
                source);
  }
  return parts;
}

std::unique_ptr<model::GatedConvLm> load_network(const train::ModelFile& file,
                                                 const model::ModelConfig& config, Index vocabulary,
                                                 kernels::Backend& backend,
                                                 kernels::ArraySet arrays) {
  auto network = std::make_unique<model::GatedConvLm>(config, vocabulary, backend, arrays);
  file.load(*network, false);
  return network;
}

OpenModel open_model(const std::string& path, kernels::Backend& backend) {
  train::ModelFile file(path);
  ModelParts parts = model_parts(file);
  auto network = load_network(file, parts.config.model, parts.tokenizer->size(), backend,
                              {kernels::Array::kValue});
  return {std::move(file), std::move(parts), std::move(network)};
}

}  // namespace sluice::config
