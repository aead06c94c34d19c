#include "src/cli/file_facts.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/config/file_kind.h"
#include "sluice/text/token_file.h"
#include "sluice/train/run_directory.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

Json describe_model(const train::ModelFile& file) {
  const config::ModelParts parts = config::model_parts(file);
  const train::TrainState& state = file.state();
  std::uint64_t parameters = 0;
  Json tensors = Json::array();
  for (const formats::TensorInfo& tensor : file.tensors().tensors()) {
    if (tensor.name.starts_with("sluice.") || train::is_training_tensor(tensor.name)) {
      continue;
    }
    parameters += tensor.elements();
    tensors.push_back({{"name", tensor.name}, {"shape", tensor.shape}});
  }
  return {{"file", file.path()},
          {"kind", file.is_checkpoint() ? "checkpoint" : "model"},
          {"parameters", parameters},
          {"vocab_size", parts.tokenizer->size()},
          {"tokenizer", name_of(parts.tokenizer->type())},
          {"receptive_field", model::receptive_field(parts.config.model)},
          {"step", state.step},
          {"samples", state.samples},
          {"training_seconds", state.elapsed_seconds},
          {"precision", name_of(file.info().precision)},
          {"best_valid_loss", std::isfinite(state.best_loss) ? Json(state.best_loss) : Json()},
          {"best_step", state.best_step},
          {"bad_steps", state.bad_steps},
          {"model_hash", to_hex(file.hash())},
          {"data_hash", to_hex(file.info().data_hash)},
          {"tokenizer_hash", to_hex(file.info().tokenizer_hash)},
          {"config", Json::parse(file.info().config)},
          {"tensors", tensors}};
}

Json describe_tokens(const std::string& path) {
  const text::TokenFile tokens(path);
  return {{"file", path},
          {"kind", "tokens"},
          {"tokens", tokens.size()},
          {"vocab_size", tokens.vocabulary()},
          {"lines", tokens.counts().lines},
          {"words", tokens.counts().words},
          {"chars", tokens.counts().chars},
          {"bytes", tokens.counts().bytes},
          {"oov", tokens.oov()},
          {"unk_literal", tokens.literal_unknowns()},
          {"data_hash", to_hex(tokens.corpus_hash())},
          {"tokenizer_hash", to_hex(tokens.tokenizer_hash())}};
}

// `key value` lines; tensors as a table, the config as it is.
std::string as_text(const Json& facts) {
  std::string text;
  for (const auto& [key, value] : facts.items()) {
    if (key == "run") {
      text += as_text(value);
    } else if (key == "tensors") {
      text += "parameters by tensor:\n";
      for (const Json& tensor : value) {
        text += fmt::format("  {:<44}{}\n", printable(tensor["name"].get<std::string>()),
                            tensor["shape"].dump());
      }
    } else if (key == "config") {
      text += fmt::format("config:\n{}\n", value.dump(2));
    } else {
      text += fmt::format("{:<18}{}\n", key,
                          value.is_string() ? printable(value.get<std::string>()) : value.dump());
    }
  }
  return text;
}

std::string render(const Json& facts, Form form) {
  if (form == Form::kText) return as_text(facts);
  return facts.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json describe_run(const std::string& path) {
  const train::RunDirectory run = train::RunDirectory::open_to_read(path);
  const auto checkpoints = run.checkpoints();
  std::error_code error;
  const bool has_best = std::filesystem::exists(run.best_path(), error);
  return {{"directory", path},
          {"steps_done", checkpoints.empty() ? Json() : Json(checkpoints.front().step)},
          {"checkpoints", checkpoints.size()},
          {"last_checkpoint", checkpoints.empty() ? Json() : Json(checkpoints.front().path)},
          {"best", has_best ? Json(run.best_path()) : Json()}};
}

}  // namespace

std::string model_facts(const std::string& path, Form form) {
  return render(describe_model(train::ModelFile(path)), form);
}

std::string run_facts(const std::string& path, std::optional<config::Which> which, Form form) {
  const Json run = describe_run(path);
  if (!which) which = run["best"].is_null() ? config::Which::kLast : config::Which::kBest;
  Json facts = {{"run", run}};
  facts.update(describe_model(train::ModelFile(config::model_path(path, *which))));
  return render(facts, form);
}

std::string token_file_facts(const std::string& path, Form form) {
  return render(describe_tokens(path), form);
}

std::string tokenizer_facts(const std::string& path, Form form) {
  const std::string file = config::tokenizer_path(path);
  const auto tokenizer = text::load_tokenizer(file);
  Json facts = {{"file", file}, {"kind", "tokenizer"}, {"type", name_of(tokenizer->type())}};
  if (!tokenizer->algorithm().empty()) facts["algorithm"] = tokenizer->algorithm();
  facts["vocab_size"] = tokenizer->size();
  facts["end_of_line"] = tokenizer->end_of_line();
  facts["unknown"] = tokenizer->unknown() >= 0 ? Json(tokenizer->unknown()) : Json();
  facts["lossless"] = tokenizer->lossless();
  facts["bytes"] = tokenizer->serialise().size();
  facts["tokenizer_hash"] = to_hex(tokenizer->hash());
  return render(facts, form);
}

}  // namespace sluice::cli
