#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/base/printable.h"
#include "sluice/config/open_model.h"
#include "sluice/text/token_file.h"
#include "src/cli/commands.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InfoArguments {
  ModelArguments model;
  bool json = false;
};

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
  return {
      {"file", file.path()},
      {"kind", file.is_checkpoint() ? "checkpoint" : "model"},
      {"parameters", parameters},
      {"vocab_size", parts.tokenizer->size()},
      {"tokenizer",
       enum_names<text::TokenizerType>[static_cast<std::size_t>(parts.tokenizer->type())].second},
      {"receptive_field", model::receptive_field(parts.config.model)},
      {"step", state.step},
      {"samples", state.samples},
      {"training_seconds", state.elapsed_seconds},
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
    if (key == "tensors") {
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

ExitCode run_info(const InfoArguments& arguments, Output& out) {
  const std::string path = arguments.model.path();
  const formats::SafetensorsReader reader(path);
  const Json facts = reader.metadata().contains("sluice.kind")
                         ? describe_model(train::ModelFile(path))
                         : describe_tokens(path);
  out.write(arguments.json ? facts.dump() + "\n" : as_text(facts));
  return ExitCode::kDone;
}

}  // namespace

Action set_up_info(CLI::App& command) {
  auto arguments = std::make_shared<InfoArguments>();
  add_positional(command, "FILE", arguments->model.model,
                 "a model, checkpoint, run directory or token file", Presence::kRequired);
  add_option(command, "--which", arguments->model.which, "best|last",
             "of a run directory: the best model or the last checkpoint");
  add_flag(command, "--json", arguments->json, "one JSON object");
  return [arguments](Output& out) { return run_info(*arguments, out); };
}

}  // namespace sluice::cli
