#include "sluice/config/average.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/config/open_model.h"
#include "tests/support/error_check.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::config {
namespace {

using kernels::Array;
using testing::check_error;
using testing::read_all;
using testing::TinyRun;

struct Fixture {
  Fixture() { run.prepare(); }
  // A model of that seed as a file.
  std::string save(std::uint64_t seed) {
    const auto model = run.new_model(seed);
    values.push_back(read_all(model->parameters(), Array::kValue));
    const std::string path = run.folder / ("model-" + std::to_string(seed));
    train::TrainState state;
    state.step = static_cast<std::int64_t>(seed);
    state.best_loss = 1;
    train::save_model(path, run.info, state, *model);
    return path;
  }
  // The values of OUT.
  std::vector<Real> average(const std::vector<std::string>& files) {
    average_models(files, out);
    opened.emplace(open_model(out, *run.backend));
    return read_all(opened->network->parameters(), Array::kValue);
  }
  void refuses(const std::vector<std::string>& files, const std::vector<std::string>& words) {
    check_error(ExitCode::kBadData, words, [&] { average_models(files, out); });
    CHECK_FALSE(std::filesystem::exists(out));
  }

  TinyRun run;
  std::string out = run.folder / "out.safetensors";
  std::vector<std::vector<Real>> values;
  std::optional<OpenModel> opened;
};

TEST_CASE("average_models: the mean of all weights, in a model with the config of the last",
          "[config]") {
  Fixture it;
  std::vector<std::string> files = {it.save(1), it.save(2)};
  it.run.config.train.seed = 77;
  it.run.config.model.dropout.layer = 0.5;
  it.run.info.config = to_json(it.run.config);
  files.push_back(it.save(3));
  const std::vector<Real> mean = it.average(files);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double sum = static_cast<double>(it.values[0][i]) + static_cast<double>(it.values[1][i]) +
                       static_cast<double>(it.values[2][i]);
    REQUIRE(mean[i] == static_cast<Real>(sum / 3));
  }
  CHECK_FALSE(it.opened->file.is_checkpoint());
  CHECK(it.opened->parts.config == it.run.config);
  CHECK(it.opened->file.state().step == 3);
  CHECK(std::isinf(it.opened->file.state().best_loss));
}

TEST_CASE("average_models: of a checkpoint with averages, the averages", "[config]") {
  Fixture it;
  it.run.config.train.ema_decay = 0.5;
  std::vector<std::string> files;
  std::vector<std::vector<Real>> averages;
  for (const std::uint64_t seed : {1, 2}) {
    const auto model = it.run.new_model(seed);
    model->parameters().start_averages();
    averages.push_back(read_all(model->parameters(), Array::kAverage));
    testing::stir_parameters(model->parameters(), seed);
    files.push_back(it.run.folder / std::to_string(seed));
    train::save_checkpoint(files.back(), it.run.info, {}, *model);
  }
  const std::vector<Real> mean = it.average(files);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    const double sum = static_cast<double>(averages[0][i]) + static_cast<double>(averages[1][i]);
    REQUIRE(mean[i] == static_cast<Real>(sum / 2));
  }
}

TEST_CASE("average_models: what is not of one kind is refused, by file and difference",
          "[config]") {
  Fixture it;
  const std::string first = it.save(1);
  check_error(ExitCode::kUsage, {"two or more", "found 1"},
              [&] { average_models({first}, it.out); });

  check_error(ExitCode::kOutput, {"missing/out", "No such file"}, [&] {
    average_models({first, "not looked at"}, it.run.folder / "missing/out");
  });

  Fixture wide;
  wide.run.config.model.embedding_dim = 5;
  wide.run.info.config = to_json(wide.run.config);
  const std::string other = wide.save(2);
  it.refuses({first, other}, {other, "model.embedding_dim", "expected 4, found 5"});

  Fixture words;
  words.run.config.tokenizer.min_count = 2;
  words.run.prepare();
  const std::string rare = words.save(2);
  it.refuses({first, rare}, {rare, "tokenizer", first});

  std::swap(it.run.info.permutation[0], it.run.info.permutation[1]);
  const std::string swapped = it.save(2);
  it.refuses({first, first, swapped}, {swapped, "permutation", first});
}

TEST_CASE("files_to_average: a run stands for all its checkpoints but the untrained, oldest first",
          "[config]") {
  Fixture it;
  const std::string& folder = it.run.folder.path();
  check_error(ExitCode::kNoInput, {folder, "not a run"}, [&] { files_to_average({folder}); });
  const auto run = train::RunDirectory::open_new(it.run.folder / "run", false);
  check_error(ExitCode::kNoInput, {run.path(), "no checkpoint yet"},
              [&] { files_to_average({run.path()}); });
  for (const std::int64_t step : {10, 9, 0}) testing::write_text(run.checkpoint_path(step), "");
  testing::write_text(run.best_path(), "");
  CHECK(files_to_average({"a", run.path(), "b"}) ==
        std::vector<std::string>{"a", run.checkpoint_path(9), run.checkpoint_path(10), "b"});
}

}  // namespace
}  // namespace sluice::config
