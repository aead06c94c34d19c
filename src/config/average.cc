#include "sluice/config/average.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <memory>

#include "sluice/base/error.h"
#include "sluice/base/memory.h"
#include "sluice/base/output_place.h"
#include "sluice/base/stop_signal.h"
#include "sluice/config/open_model.h"
#include "sluice/train/run_directory.h"

namespace sluice::config {
namespace {

using kernels::Array;

void check_same_network(const std::string& path, const Config& config, const std::string& first,
                        const Config& expected) {
  if (const auto difference = network_difference(expected, config)) {
    throw Error(ExitCode::kBadData, "{}: {}: not that of {} (expected {}, found {})", path,
                difference->key, first, difference->expected, difference->found);
  }
}

void check_same_vocabulary(const train::ModelFile& file, const train::ModelFile& first) {
  const auto refuse = [&](std::string_view what) {
    throw Error(ExitCode::kBadData, "{}: {}: not that of {}", file.path(), what, first.path());
  };
  if (file.info().tokenizer != first.info().tokenizer) refuse("tokenizer");
  if (file.info().permutation != first.info().permutation) refuse("permutation");
}

// Sums of the weights of models of one kind, in declaration order.
class Sum {
 public:
  void add(const nn::ParameterStore& store) {
    sums_.resize(static_cast<std::size_t>(store.elements()));
    double* sum = sums_.data();
    for (const nn::Parameter& parameter : store.parameters()) {
      values_.resize(static_cast<std::size_t>(parameter.elements()));
      store.read(parameter, Array::kValue, values_);
      for (const Real value : values_) *sum++ += static_cast<double>(value);
    }
    ++count_;
  }

  void write_mean(nn::ParameterStore& store) {
    const double* sum = sums_.data();
    for (nn::Parameter& parameter : store.parameters()) {
      values_.resize(static_cast<std::size_t>(parameter.elements()));
      for (Real& value : values_) value = static_cast<Real>(*sum++ / count_);
      store.write(parameter, Array::kValue, values_);
    }
    store.refresh();
  }

 private:
  std::vector<double> sums_;
  std::vector<Real> values_;
  double count_ = 0;
};

}  // namespace

std::vector<std::string> files_to_average(const std::vector<std::string>& sources) {
  std::vector<std::string> files;
  std::error_code error;
  for (const std::string& source : sources) {
    if (!std::filesystem::is_directory(source, error)) {
      files.push_back(source);
      continue;
    }
    model_path(source, Which::kLast);  // refuses what is no run, or has no checkpoint
    const auto checkpoints = train::RunDirectory::open_to_read(source).checkpoints();
    // That of step 0 holds what training began with.
    std::for_each(checkpoints.rbegin(), checkpoints.rend(), [&](const auto& checkpoint) {
      if (checkpoint.step > 0) files.push_back(checkpoint.path);
    });
  }
  return files;
}

void average_models(const std::vector<std::string>& files, const std::string& out) {
  if (files.size() < 2) {
    throw Error(ExitCode::kUsage,
                "average: expected two or more models, found {}; of a run its checkpoints count, "
                "but not that of step 0",
                files.size());
  }
  check_replaceable(out);
  ThreadPool pool(1);
  const auto backend = kernels::make_reference_backend(pool);
  const train::ModelFile first(files.front());
  const ModelParts parts = model_parts(first);
  model::GatedConvLm network(parts.config.model, parts.tokenizer->size(), *backend,
                             kernels::ArraySet{Array::kValue});
  // Beside the network: sums in double, and one parameter in logical order.
  require_memory(
      static_cast<double>(network.parameters().elements()) * (sizeof(double) + sizeof(Real)),
      "the mean of the weights");
  Sum sum;
  train::ModelInfo info;
  train::TrainState state;
  for (const std::string& path : files) {
    const train::ModelFile file(path);
    check_same_network(path, model_parts(file).config, files.front(), parts.config);
    check_same_vocabulary(file, first);
    file.load(network, false);
    sum.add(network.parameters());
    info = file.info();
    state = file.state();
  }
  sum.write_mean(network.parameters());
  // Nobody has validated this model.
  state.best_loss = std::numeric_limits<double>::infinity();
  state.best_step = 0;
  const DelayedSignals delayed;
  train::save_model(out, info, state, network);
}

}  // namespace sluice::config
