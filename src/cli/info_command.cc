#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/config/open_model.h"
#include "sluice/text/token_file.h"
#include "src/cli/commands.h"
#include "src/cli/config_arguments.h"
#include "src/cli/model_arguments.h"
#include "src/cli/network_report.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InfoArguments {
  ModelArguments model;
  std::optional<std::string> which;
  ConfigArguments config;
  std::optional<Index> vocabulary;
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

// What is looked at is a file or a config; what belongs to the other is a mistake.
void check_arguments(const InfoArguments& arguments) {
  const bool file = arguments.model.model.has_value(), config = arguments.config.config.has_value();
  if (file == config) {
    throw Error(ExitCode::kUsage, "info: what about? (expected FILE or --config CONFIG, found {})",
                file ? "both" : "neither");
  }
  if (!config && (arguments.vocabulary || !arguments.config.settings.empty())) {
    throw Error(ExitCode::kUsage,
                "info: {}: belongs to --config (expected a config, found FILE {})",
                arguments.vocabulary ? "--vocab" : "--set", quote(*arguments.model.model));
  }
  if (config && arguments.which) {
    throw Error(ExitCode::kUsage,
                "info: --which: belongs to a run directory (expected FILE, found --config {})",
                quote(*arguments.config.config));
  }
}

ExitCode run_info(const InfoArguments& arguments, Output& out) {
  check_arguments(arguments);
  if (arguments.config.config) {
    const NetworkReport report = report_network(
        *arguments.config.config, effective_config(arguments.config), arguments.vocabulary);
    out.write(arguments.json ? as_json(report) : as_text(report));
    return ExitCode::kDone;
  }
  ModelArguments model = arguments.model;
  model.which = arguments.which.value_or(model.which);
  const std::string path = model.path();
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
                 "a model, checkpoint, run directory or token file", Presence::kOptional);
  add_option(command, "--which", arguments->which, "best|last",
             "of a run directory: the best model or the last checkpoint");
  add_option(command, "--config", arguments->config.config, "CONFIG",
             "instead of FILE: the network of a preset or JSON file, layer by layer");
  add_list(command, "--set", arguments->config.settings, "KEY=JSON",
           "with --config: change one key, e.g. model.blocks.0.repeat=4");
  add_option(command, "--vocab", arguments->vocabulary, "N",
             "with --config: words, instead of tokenizer.vocab_size", {.min = 2, .max = 1 << 28});
  add_flag(command, "--json", arguments->json, "one JSON object");
  return [arguments](Output& out) { return run_info(*arguments, out); };
}

}  // namespace sluice::cli
