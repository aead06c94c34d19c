#include <memory>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/config/file_kind.h"
#include "src/cli/commands.h"
#include "src/cli/config_arguments.h"
#include "src/cli/file_facts.h"
#include "src/cli/network_report.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

struct InfoArguments {
  std::optional<std::string> file;
  std::optional<std::string> which;
  ConfigArguments config;
  std::optional<Index> vocabulary;
  bool json = false;
};

// What is looked at is a file or a config; what belongs to the other is a mistake.
void check_arguments(const InfoArguments& arguments) {
  const bool file = arguments.file.has_value(), config = arguments.config.config.has_value();
  if (file == config) {
    throw Error(ExitCode::kUsage, "info: what about? (expected FILE or --config CONFIG, found {})",
                file ? "both" : "neither");
  }
  if (!config && (arguments.vocabulary || !arguments.config.settings.empty())) {
    throw Error(ExitCode::kUsage,
                "info: {}: belongs to --config (expected a config, found FILE {})",
                arguments.vocabulary ? "--vocab" : "--set", quote(*arguments.file));
  }
  if (config && arguments.which) {
    throw Error(ExitCode::kUsage,
                "info: --which: belongs to a run directory (expected FILE, found --config {})",
                quote(*arguments.config.config));
  }
}

std::optional<config::Which> chosen(const std::optional<std::string>& which) {
  if (!which) return std::nullopt;
  if (*which == "best") return config::Which::kBest;
  if (*which == "last") return config::Which::kLast;
  throw Error(ExitCode::kUsage, "--which: expected best or last, found {}", quote(*which));
}

// For what is none of ours: which command would be right.
std::string_view other_command(config::FileKind kind) {
  switch (kind) {
    case config::FileKind::kText:
    case config::FileKind::kCompressed:
      return "; \"sluice data info\" describes texts";
    case config::FileKind::kConfig:
      return "; \"sluice info --config\" describes configs";
    default:
      return "";
  }
}

std::string file_facts(const InfoArguments& arguments) {
  const std::string& path = *arguments.file;
  const Form form = arguments.json ? Form::kJson : Form::kText;
  const auto which = chosen(arguments.which);
  const config::FileKind kind = config::recognise(path);
  switch (kind) {
    case config::FileKind::kRun:
      return run_facts(path, which, form);
    case config::FileKind::kModel:
    case config::FileKind::kCheckpoint:
      return model_facts(path, form);
    case config::FileKind::kTokens:
      return token_file_facts(path, form);
    case config::FileKind::kTokenizer:
    case config::FileKind::kSentencePiece:
      return tokenizer_facts(path, form);
    case config::FileKind::kSafetensors:
      throw Error(ExitCode::kBadData, "{}: not a Sluice model or token file (found {})", path,
                  config::describe(kind));
    default:
      throw Error(ExitCode::kBadData,
                  "{}: nothing to look into (expected a model, checkpoint, run, token file or "
                  "tokenizer, found {}){}",
                  path, config::describe(kind), other_command(kind));
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
  out.write(file_facts(arguments));
  return ExitCode::kDone;
}

}  // namespace

Action set_up_info(CLI::App& command) {
  auto arguments = std::make_shared<InfoArguments>();
  add_positional(command, "FILE", arguments->file,
                 "a model, checkpoint, run directory, token file or tokenizer",
                 Presence::kOptional);
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
