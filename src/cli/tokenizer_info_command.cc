#include <fmt/format.h>

#include <memory>

#include "sluice/base/error.h"
#include "sluice/config/file_kind.h"
#include "sluice/text/tokenizer.h"
#include "src/cli/commands.h"
#include "src/cli/file_facts.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

struct TokenizerInfoArguments {
  std::optional<std::string> tokenizer;
  bool json = false, list = false;
};

ExitCode run_tokenizer_info(const TokenizerInfoArguments& arguments, Output& out) {
  if (arguments.json && arguments.list) {
    throw Error(ExitCode::kUsage, "--list: expected one of --json and --list, found both");
  }
  if (!arguments.list) {
    out.write(tokenizer_facts(*arguments.tokenizer, arguments.json ? Form::kJson : Form::kText));
    return ExitCode::kDone;
  }
  const auto tokenizer = text::load_tokenizer(config::tokenizer_path(*arguments.tokenizer));
  for (int id = 0; id < tokenizer->size(); ++id) {
    out.write(fmt::format("{}\t{}\n", id, tokenizer->describe(id)));
  }
  return ExitCode::kDone;
}

}  // namespace

Action set_up_tokenizer_info(CLI::App& command) {
  auto arguments = std::make_shared<TokenizerInfoArguments>();
  add_flag(command, "--json", arguments->json, "one JSON object");
  add_flag(command, "--list", arguments->list, "every token instead: its id, a tab, its form");
  add_positional(command, "TOKENIZER", arguments->tokenizer,
                 "a tokenizer's file, a SentencePiece .model, a model or a run directory",
                 Presence::kRequired);
  return [arguments](Output& out) { return run_tokenizer_info(*arguments, out); };
}

}  // namespace sluice::cli
