#include "sluice/config/verify.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>

#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"
#include "sluice/config/config.h"
#include "sluice/config/open_model.h"
#include "sluice/optim/optimizer.h"
#include "sluice/text/token_file.h"
#include "sluice/text/token_lines.h"
#include "sluice/text/tokenizer.h"
#include "sluice/train/run_directory.h"

namespace sluice::config {
namespace {

using formats::Dtype;
using formats::SafetensorsReader;
using formats::TensorInfo;

constexpr std::size_t kBlockNumbers = 1 << 16;
constexpr std::uint32_t kExponent = 0x7f800000;  // all ones: infinity or not a number

void check_finite(const SafetensorsReader& reader, const TensorInfo& tensor) {
  std::vector<float> block(kBlockNumbers);
  const std::uint64_t elements = tensor.elements();
  for (std::uint64_t at = 0; at < elements; at += block.size()) {
    const auto piece = std::span(block).first(std::min<std::uint64_t>(block.size(), elements - at));
    reader.read(tensor, at * sizeof(float), std::as_writable_bytes(piece));
    bool all_finite = true;  // looked at by bits and without a branch: this is most of the time
    for (const float value : piece) {
      all_finite &= (std::bit_cast<std::uint32_t>(value) & kExponent) != kExponent;
    }
    if (all_finite) continue;
    const auto bad =
        std::find_if(piece.begin(), piece.end(), [](float value) { return !std::isfinite(value); });
    throw Error(ExitCode::kBadData, "{}: tensor {}: element {} is not finite",
                printable(reader.path()), quote(tensor.name),
                at + static_cast<std::uint64_t>(bad - piece.begin()));
  }
}

// The parameter that a tensor holds an array of: NAME of "NAME", "ema.NAME", "optimizer.0.NAME".
std::string_view parameter_name(std::string_view tensor) {
  if (!train::is_training_tensor(tensor)) return tensor;
  if (tensor.starts_with("optimizer.")) tensor.remove_prefix(tensor.find('.') + 1);
  return tensor.substr(tensor.find('.') + 1);
}

void check_tensor(const SafetensorsReader& reader, const TensorInfo& tensor,
                  const nn::ParameterStore& store) {
  const nn::Parameter* parameter = store.find(parameter_name(tensor.name));
  if (parameter == nullptr) {
    throw Error(ExitCode::kBadData,
                "{}: tensor {}: no part of the network that its config describes",
                printable(reader.path()), quote(tensor.name));
  }
  const std::vector<std::uint64_t> shape(parameter->shape.begin(), parameter->shape.end());
  if (tensor.dtype != Dtype::kF32 || tensor.shape != shape) {
    throw Error(ExitCode::kBadData,
                "{}: tensor {}: does not fit the config (expected F32 [{}], found {} [{}])",
                printable(reader.path()), quote(tensor.name), fmt::join(shape, ", "),
                formats::dtype_name(tensor.dtype), fmt::join(tensor.shape, ", "));
  }
  check_finite(reader, tensor);
}

// What a run goes on from beside the network: only as much of its shape is known without memory.
void check_context(const train::ModelFile& file, const Config& config) {
  const auto& tensors = file.tensors().tensors();
  const auto count = std::count_if(tensors.begin(), tensors.end(), [](const TensorInfo& tensor) {
    return train::is_context_tensor(tensor.name);
  });
  std::vector<Index> widths;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const TensorInfo& tensor = file.tensors().get(train::context_tensor(i));
    widths.push_back(tensor.shape.empty() ? 0 : static_cast<Index>(tensor.shape.back()));
  }
  const bool expected =
      file.is_checkpoint() && config.data.carry_context && file.state().leaves_context();
  if (expected == widths.empty()) {
    throw Error(ExitCode::kBadData, "{}: context to go on from (expected {}, found {} tensors)",
                printable(file.path()), expected ? "some" : "none", widths.size());
  }
  file.context(config.data.batch_size, model::context_rows(config.model), widths);
}

void verify_model(const std::string& path) {
  const train::ModelFile file(path);
  const ModelParts parts = model_parts(file);
  ThreadPool pool(1);
  const auto backend = kernels::make_reference_backend(pool);
  const model::GatedConvLm network(parts.config.model, parts.tokenizer->size(), *backend,
                                   kernels::ArraySet{});  // names and shapes only
  const nn::ParameterStore& store = network.parameters();
  for (const TensorInfo& tensor : file.tensors().tensors()) {
    if (tensor.name.starts_with("sluice.") || train::is_context_tensor(tensor.name)) continue;
    check_tensor(file.tensors(), tensor, store);
  }
  check_context(file, parts.config);
  const kernels::ArraySet arrays = kernels::training_arrays(
      optim::update_kind(parts.config.optimizer), parts.config.train.ema_decay > 0);
  for (const nn::Parameter& parameter : store.parameters()) {
    file.tensors().get(parameter.name);
    if (!file.is_checkpoint()) continue;
    for (const std::string& name : train::training_tensors(parameter.name, arrays)) {
      file.tensors().get(name);
    }
  }
}

void verify_tokens(const std::string& path) {
  const text::TokenFile tokens(path);
  tokens.verify();
  std::vector<int> block(kBlockNumbers);
  for (std::uint64_t at = 0; at < tokens.size(); at += block.size()) {
    tokens.read(at,
                std::span(block).first(std::min<std::uint64_t>(block.size(), tokens.size() - at)));
  }
  text::each_line(tokens, [](std::uint64_t, std::uint64_t) { return true; });
}

void verify_config(const std::string& path) {
  constexpr std::uint64_t kMaxBytes = 1 << 20;
  try {
    check_config(parse_config(read_whole_file(path, kMaxBytes), path));
  } catch (const Error& error) {
    if (error.code() != ExitCode::kUsage) throw;
    const std::string what = error.what();
    // check_config() knows no file.
    throw Error(ExitCode::kBadData,
                what.starts_with(printable(path)) ? what : printable(path) + ": " + what);
  }
}

}  // namespace

VerifiedFile verify_file(const std::string& path) {
  const FileKind kind = recognise(path);
  switch (kind) {
    case FileKind::kModel:
    case FileKind::kCheckpoint:
      verify_model(path);
      break;
    case FileKind::kTokens:
      verify_tokens(path);
      break;
    case FileKind::kTokenizer:
    case FileKind::kSentencePiece:
      text::load_tokenizer(path);
      break;
    case FileKind::kConfig:
      verify_config(path);
      break;
    default:
      throw Error(ExitCode::kBadData,
                  "{}: nothing to verify (expected a model, checkpoint, token file, tokenizer, "
                  "config or run, found {})",
                  printable(path), describe(kind));
  }
  return {kind, path, InputFile(path).size()};
}

std::vector<std::string> files_to_verify(const std::string& source) {
  std::error_code error;
  if (!std::filesystem::is_directory(source, error)) return {source};
  recognise(source);  // refuses what is no run
  const train::RunDirectory run = train::RunDirectory::open_to_read(source);
  std::vector<std::string> files = {run.config_path()};
  for (const auto& checkpoint : run.checkpoints()) {
    files.insert(files.begin() + 1, checkpoint.path);  // they come newest first
  }
  files.push_back(run.best_path());
  std::erase_if(files,
                [&](const std::string& file) { return !std::filesystem::exists(file, error); });
  return files;
}

}  // namespace sluice::config
