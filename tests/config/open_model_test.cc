#include "sluice/config/open_model.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/support/error_check.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::config {
namespace {

using testing::check_error;
using testing::TinyRun;

struct Fixture {
  Fixture() {
    run.prepare();
    model = run.new_model(5);
    path = run.folder / "model.safetensors";
  }
  void save() { train::save_model(path, run.info, {}, *model); }
  void refuses(const std::vector<std::string>& words) {
    save();
    check_error(ExitCode::kBadData, words, [&] { open_model(path, *run.backend); });
  }
  TinyRun run;
  std::unique_ptr<model::GatedConvLm> model;
  std::string path;
};

TEST_CASE("OpenModel: what was saved is what is opened", "[config]") {
  Fixture it;
  it.save();
  const OpenModel opened = open_model(it.path, *it.run.backend);
  CHECK(opened.parts.config == it.run.config);
  CHECK(opened.parts.tokenizer->hash() == it.run.text->tokenizer->hash());
  CHECK(opened.parts.permutation.model_ids() == it.run.text->permutation.model_ids());
  CHECK(opened.file.path() == it.path);
  CHECK(opened.network->parameters().arrays().size() == 1);
  CHECK(testing::read_all(opened.network->parameters(), kernels::Array::kValue) ==
        testing::read_all(it.model->parameters(), kernels::Array::kValue));
}

TEST_CASE("OpenModel: parts that do not belong together are refused", "[config]") {
  Fixture it;
  const train::ModelInfo whole = it.run.info;
  it.run.info.config = "{}";  // the defaults, but no limit and another network
  it.refuses({it.path + ": config", "no limit"});
  it.run.info.config = "{\"model\": {\"embeding_dim\": 4}}";
  it.refuses({it.path + ": config", "unknown key"});
  Config other = it.run.config;
  other.model.embedding_dim = 7;
  it.run.info.config = to_json(other);
  it.refuses({it.path, "wrong shape"});
  other = it.run.config;
  other.model.blocks[0].repeat = 3;
  it.run.info.config = to_json(other);
  it.refuses({it.path, "blocks.2"});
  other.model.blocks[0].repeat = 1;
  it.run.info.config = to_json(other);
  it.refuses({it.path, "number of tensors"});

  it.run.info = whole;
  it.run.info.tokenizer_hash ^= 1;
  it.refuses({it.path, "tokenizer"});
  it.run.info = whole;
  it.run.info.tokenizer = "nonsense";
  it.refuses({it.path + ": tokenizer"});
  it.run.info = whole;
  it.run.info.permutation.pop_back();
  it.refuses({});
  it.run.info.permutation = whole.permutation;
  it.run.info.permutation[0] = it.run.info.permutation[1];
  it.refuses({});
  it.run.info.permutation[0] = 1000;
  it.refuses({});
}

TEST_CASE("OpenModel: MODEL is a file, or a run's best model or last checkpoint", "[config]") {
  Fixture it;
  const std::string& folder = it.run.folder.path();
  CHECK(model_path(it.path, Which::kBest) == it.path);
  CHECK(model_path("no such file", Which::kLast) == "no such file");
  check_error(ExitCode::kNoInput, {folder, "not a run"}, [&] { model_path(folder, Which::kBest); });

  const auto run = train::RunDirectory::open_new(it.run.folder / "run", false);
  const std::string at = run.path();
  const auto refuses_best = [&](const std::string& hint) {
    check_error(ExitCode::kNoInput, {at, "no best model yet: the run has not validated" + hint},
                [&] { model_path(at, Which::kBest); });
  };
  refuses_best("");
  check_error(ExitCode::kNoInput, {at, "no checkpoint yet"}, [&] { model_path(at, Which::kLast); });
  for (const std::int64_t step : {10, 9}) testing::write_text(run.checkpoint_path(step), "");
  refuses_best("; its last checkpoint is " + run.checkpoint_path(10));
  testing::write_text(run.best_path(), "");
  CHECK(model_path(at, Which::kBest) == run.best_path());
  CHECK(model_path(at, Which::kLast) == run.checkpoint_path(10));
  CHECK(model_path(at + "/", Which::kLast) == at + "//checkpoints/step-00000010.safetensors");
}

}  // namespace
}  // namespace sluice::config
