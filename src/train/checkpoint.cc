#include "sluice/train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::train {
namespace {

using formats::Dtype;
using formats::TensorInfo;
using kernels::Array;
using nn::Parameter;

static_assert(sizeof(Real) == 4, "model files hold F32");

constexpr char kTokenizer[] = "sluice.tokenizer";
constexpr char kPermutation[] = "sluice.permutation";
constexpr char kFormat[] = "1";
constexpr char kPrecision[] = "sluice.precision";

constexpr std::string_view kAveragePrefix = "ema.", kContextPrefix = "context.";

// What only training needs, by the prefix that its tensors have in a checkpoint.
constexpr std::pair<Array, std::string_view> kTrainingArrays[] = {
    {Array::kState0, "optimizer.0."},
    {Array::kState1, "optimizer.1."},
    {Array::kAverage, kAveragePrefix}};

using Context = model::GatedConvLm::State::Context;

std::vector<std::uint64_t> context_shape(Index sequences, Index rows, Index width) {
  return {static_cast<std::uint64_t>(sequences), static_cast<std::uint64_t>(rows),
          static_cast<std::uint64_t>(width)};
}

std::vector<std::uint64_t> extents(const Parameter& parameter) {
  return {parameter.shape.begin(), parameter.shape.end()};
}

std::size_t first_not_finite(std::span<const Real> values) {
  const auto found =
      std::find_if(values.begin(), values.end(), [](Real value) { return !std::isfinite(value); });
  return static_cast<std::size_t>(found - values.begin());
}

void check_savable(std::span<const Real> values, const std::string& path,
                   const TensorInfo& tensor) {
  if (const std::size_t bad = first_not_finite(values); bad < values.size()) {
    throw Error(ExitCode::kDiverged, "{}: not saved: tensor {}: element {} is not finite", path,
                tensor.name, bad);
  }
}

void save(const std::string& path, const ModelInfo& info, const TrainState& state,
          const model::GatedConvLm& model, bool checkpoint,
          const model::GatedConvLm::State* carried) {
  const nn::ParameterStore& store = model.parameters();
  formats::SafetensorsWriter writer(path, {{"sluice.format", kFormat},
                                           {"sluice.kind", checkpoint ? "checkpoint" : "model"},
                                           {"sluice.version", SLUICE_VERSION},
                                           {"sluice.config", info.config},
                                           {"sluice.state", state.to_json()},
                                           {"sluice.data_hash", to_hex(info.data_hash)},
                                           {"sluice.valid_hash", to_hex(info.valid_hash)},
                                           {"sluice.tokenizer_hash", to_hex(info.tokenizer_hash)},
                                           {kPrecision, std::string(name_of(info.precision))}});
  // Where each declared tensor comes from.
  std::map<std::string, std::pair<const Parameter*, Array>, std::less<>> sources;
  for (const Parameter& parameter : store.parameters()) {
    writer.declare(parameter.name, Dtype::kF32, extents(parameter));
    sources[parameter.name] = {&parameter, Array::kValue};
    for (const auto& [array, prefix] : kTrainingArrays) {
      if (!checkpoint || !store.arrays().has(array)) continue;
      const std::string name = std::string(prefix) + parameter.name;
      writer.declare(name, Dtype::kF32, extents(parameter));
      sources[name] = {&parameter, array};
    }
  }
  const std::vector<Index> widths =
      carried != nullptr ? carried->context_widths() : std::vector<Index>{};
  std::map<std::string, std::size_t, std::less<>> contexts;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    writer.declare(context_tensor(i), Dtype::kF32,
                   context_shape(carried->map().sequences, carried->map().context, widths[i]));
    contexts[context_tensor(i)] = i;
  }
  writer.declare(kTokenizer, Dtype::kU8, {info.tokenizer.size()});
  writer.declare(kPermutation, Dtype::kI32, {info.permutation.size()});
  std::vector<Real> values;
  writer.commit([&](const TensorInfo& tensor, const formats::SafetensorsWriter::Write& write) {
    if (tensor.name == kTokenizer) {
      write(std::as_bytes(std::span(info.tokenizer)));
    } else if (tensor.name == kPermutation) {
      write(std::as_bytes(std::span(info.permutation)));
    } else if (const auto found = contexts.find(tensor.name); found != contexts.end()) {
      values = carried->store_context(found->second);
      check_savable(values, path, tensor);
      write(std::as_bytes(std::span(values)));
    } else {
      const auto& [parameter, array] = sources.find(tensor.name)->second;
      values.resize(static_cast<std::size_t>(parameter->elements()));
      store.read(*parameter, array, values);
      check_savable(values, path, tensor);
      write(std::as_bytes(std::span(values)));
    }
  });
}

const std::string& metadata_value(const formats::SafetensorsReader& reader, const char* key) {
  const auto found = reader.metadata().find(key);
  if (found == reader.metadata().end()) {
    throw Error(ExitCode::kBadData, "{}: not a Sluice model (no metadata \"{}\")", reader.path(),
                key);
  }
  return found->second;
}

std::uint64_t parse_hex(const formats::SafetensorsReader& reader, const char* key) {
  const std::string& text = metadata_value(reader, key);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size() || text.size() != 16) {
    throw Error(ExitCode::kBadData, "{}: metadata \"{}\": expected 16 hex digits", reader.path(),
                key);
  }
  return value;
}

kernels::Precision parse_precision(const formats::SafetensorsReader& reader) {
  const auto found = reader.metadata().find(kPrecision);
  if (found == reader.metadata().end()) return kernels::Precision::kF32;
  for (const auto& [precision, name] : enum_names<kernels::Precision>) {
    if (name == found->second) return precision;
  }
  throw Error(ExitCode::kBadData, "{}: metadata \"{}\": no such precision ({}); newer Sluice?",
              reader.path(), kPrecision, quote(found->second.substr(0, 20)));
}

// A tensor of ours, in one piece.
const TensorInfo& require(const formats::SafetensorsReader& reader, const std::string& name,
                          Dtype dtype, const std::vector<std::uint64_t>* shape) {
  const TensorInfo& tensor = reader.get(name);
  if (tensor.dtype != dtype) {
    throw Error(ExitCode::kBadData, "{}: tensor {}: wrong type (expected {}, found {})",
                reader.path(), name, formats::dtype_name(dtype), formats::dtype_name(tensor.dtype));
  }
  if (shape == nullptr ? tensor.shape.size() != 1 : tensor.shape != *shape) {
    throw Error(ExitCode::kBadData,
                "{}: tensor {}: wrong shape (expected [{}], found [{}]); the file's weights do not "
                "fit its config",
                reader.path(), name,
                shape == nullptr ? "n" : fmt::format("{}", fmt::join(*shape, ", ")),
                fmt::join(tensor.shape, ", "));
  }
  return tensor;
}

}  // namespace

std::string context_tensor(std::size_t number) {
  return std::string(kContextPrefix) + std::to_string(number);
}

bool is_context_tensor(std::string_view name) { return name.starts_with(kContextPrefix); }

bool is_training_tensor(std::string_view name) {
  if (is_context_tensor(name)) return true;
  return std::any_of(std::begin(kTrainingArrays), std::end(kTrainingArrays),
                     [&](const auto& entry) { return name.starts_with(entry.second); });
}

std::vector<std::string> training_tensors(const std::string& parameter, kernels::ArraySet arrays) {
  std::vector<std::string> names;
  for (const auto& [array, prefix] : kTrainingArrays) {
    if (arrays.has(array)) names.push_back(std::string(prefix) + parameter);
  }
  return names;
}

void save_model(const std::string& path, const ModelInfo& info, const TrainState& state,
                const model::GatedConvLm& model) {
  save(path, info, state, model, false, nullptr);
}

void save_checkpoint(const std::string& path, const ModelInfo& info, const TrainState& state,
                     const model::GatedConvLm& model, const model::GatedConvLm::State* carried) {
  save(path, info, state, model, true, carried);
}

ModelFile::ModelFile(const std::string& path) : reader_(path) {
  const std::string& format = metadata_value(reader_, "sluice.format");
  if (format != kFormat) {
    throw Error(ExitCode::kBadData, "{}: format version (expected {}, found {}); newer Sluice?",
                path, kFormat, format.substr(0, 20));
  }
  if (!reader_.has_checksums()) {
    throw Error(ExitCode::kBadData, "{}: not a Sluice model (no checksums)", path);
  }
  reader_.verify();
  const std::string& kind = metadata_value(reader_, "sluice.kind");
  if (kind != "model" && kind != "checkpoint") {
    throw Error(ExitCode::kBadData, "{}: not a model (metadata \"sluice.kind\": {})", path,
                kind.substr(0, 20));
  }
  checkpoint_ = kind == "checkpoint";
  info_.config = metadata_value(reader_, "sluice.config");
  info_.data_hash = parse_hex(reader_, "sluice.data_hash");
  info_.valid_hash = parse_hex(reader_, "sluice.valid_hash");
  info_.tokenizer_hash = parse_hex(reader_, "sluice.tokenizer_hash");
  info_.precision = parse_precision(reader_);
  state_ = TrainState::from_json(metadata_value(reader_, "sluice.state"), path);
  const auto tokenizer = reader_.read_all(require(reader_, kTokenizer, Dtype::kU8, nullptr));
  info_.tokenizer.assign(reinterpret_cast<const char*>(tokenizer.data()), tokenizer.size());
  const auto permutation = reader_.read_all(require(reader_, kPermutation, Dtype::kI32, nullptr));
  info_.permutation.resize(permutation.size() / sizeof(int));
  std::memcpy(info_.permutation.data(), permutation.data(), permutation.size());
}

bool ModelFile::has_averages() const {
  return std::any_of(
      reader_.tensors().begin(), reader_.tensors().end(),
      [](const TensorInfo& tensor) { return tensor.name.starts_with(kAveragePrefix); });
}

std::uint64_t ModelFile::hash() const {
  Checksum hash;
  for (const TensorInfo& tensor : reader_.tensors()) {
    if (is_training_tensor(tensor.name)) continue;
    hash.add(tensor.name + '\n');
    const std::string average = std::string(kAveragePrefix) + tensor.name;
    const std::string& source = reader_.find(average) == nullptr ? tensor.name : average;
    hash.add(metadata_value(reader_, ("sluice.xxh3.data:" + source).c_str()) + '\n');
  }
  return hash.value();
}

void ModelFile::read_finite(const TensorInfo& tensor, std::vector<Real>& values) const {
  values.resize(static_cast<std::size_t>(tensor.elements()));
  reader_.read(tensor, 0, std::as_writable_bytes(std::span(values)));
  if (const std::size_t bad = first_not_finite(values); bad < values.size()) {
    throw Error(ExitCode::kBadData, "{}: tensor {}: element {} is not finite", path(), tensor.name,
                bad);
  }
}

Context ModelFile::context(Index sequences, Index rows, std::span<const Index> widths) const {
  Context context(widths.size());
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const auto shape = context_shape(sequences, rows, widths[i]);
    read_finite(require(reader_, context_tensor(i), Dtype::kF32, &shape), context[i]);
  }
  return context;
}

void ModelFile::load(model::GatedConvLm& model, bool with_states) const {
  nn::ParameterStore& store = model.parameters();
  std::vector<Real> values;
  const auto copy = [&](Parameter& parameter, Array array, const std::string& name) {
    const std::vector<std::uint64_t> shape = extents(parameter);
    read_finite(require(reader_, name, Dtype::kF32, &shape), values);
    store.write(parameter, array, values);
  };
  const std::string of_values(!with_states && has_averages() ? kAveragePrefix : "");
  std::size_t expected = 2;
  for (Parameter& parameter : store.parameters()) {
    copy(parameter, Array::kValue, of_values + parameter.name);
    ++expected;
    for (const auto& [array, prefix] : kTrainingArrays) {
      if (!with_states || !store.arrays().has(array)) continue;
      copy(parameter, array, std::string(prefix) + parameter.name);
      ++expected;
    }
  }
  store.refresh();
  std::size_t found = 0;
  for (const TensorInfo& tensor : reader_.tensors()) {
    found += !is_context_tensor(tensor.name) && (with_states || !is_training_tensor(tensor.name));
  }
  if (found != expected) {
    throw Error(ExitCode::kBadData, "{}: number of tensors (expected {}, found {})", path(),
                expected, found);
  }
}

}  // namespace sluice::train
