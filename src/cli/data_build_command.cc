#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/base/file.h"
#include "sluice/base/printable.h"
#include "sluice/config/run_text.h"
#include "sluice/text/token_file.h"
#include "src/cli/commands.h"
#include "src/cli/config_arguments.h"
#include "src/cli/file_table.h"
#include "src/cli/logging.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"
#include "src/cli/text_arguments.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

struct DataBuildArguments {
  ConfigArguments config;
  TextArguments text;
  std::optional<std::string> tokenizer;
  std::optional<Index> threads;
  bool json = false;
  Verbosity verbosity;
};

FileRow row(const std::string& name, const text::FileTokens& file) {
  return {name,
          {{"bytes", file.counts.bytes},
           {"chars", file.counts.chars},
           {"lines", file.counts.lines},
           {"words", file.counts.words},
           {"tokens", file.tokens},
           {"oov", file.oov},
           {"unk_literal", file.literal_unknowns},
           {"replaced", file.counts.replaced},
           {"malformed", file.counts.malformed},
           {"skipped", std::uint64_t{0}}}};
}

// A side of the run: its files in order, then all together.
std::vector<FileRow> rows_of(const text::TokenFile& tokens, const std::vector<std::string>& names) {
  std::vector<FileRow> rows;
  text::FileTokens total;
  for (std::size_t i = 0; i < names.size(); ++i) {
    rows.push_back(row(names[i], tokens.files()[i]));
    total += tokens.files()[i];
  }
  rows.push_back(row("total", total));
  return rows;
}

Json side_json(const text::TokenFile& tokens, const std::vector<std::string>& names) {
  std::vector<FileRow> rows = rows_of(tokens, names);
  const Json total = figures_json<Json>(rows.back());
  rows.pop_back();
  return {{"token_file", tokens.path()},
          {"data_hash", to_hex(tokens.corpus_hash())},
          {"files", rows_json<Json>(rows)},
          {"total", total}};
}

std::string side_text(std::string_view title, const text::TokenFile& tokens,
                      const std::vector<std::string>& names) {
  return fmt::format("{}\n{}token file  {}\n\n", title, file_table(rows_of(tokens, names)),
                     printable(tokens.path()));
}

ExitCode run_data_build(const DataBuildArguments& arguments, Output& out) {
  Output::check_open();
  train::ProgressBar bar(wants_bar(arguments.verbosity));
  start_logging(arguments.verbosity, bar);
  config::Config config = effective_config(arguments.config);
  apply_text_arguments(arguments.text, config.data);
  if (arguments.tokenizer) config.tokenizer.file = absolute_path(*arguments.tokenizer);
  if (arguments.threads) config.train.threads = *arguments.threads;
  check_config(config);
  ThreadPool pool(config.train.threads > 0 ? static_cast<int>(config.train.threads)
                                           : available_cpus());
  const config::RunText text = config::prepare_text(
      config.data, config.tokenizer, std::nullopt,
      [](const std::string& note) { spdlog::info("{}", note); },
      [&bar](std::uint64_t done, std::uint64_t total) {
        bar.show(static_cast<double>(done) / static_cast<double>(total), "encoding the text");
      },
      text::Cache::kKeep, &pool);
  bar.clear();
  const text::Tokenizer& tokenizer = *text.tokenizer;
  const std::string_view type = name_of(tokenizer.type());
  const auto& valid = config.data.valid.empty() ? config.data.train : config.data.valid;
  if (arguments.json) {
    const Json all = {{"tokenizer", type},
                      {"vocab_size", tokenizer.size()},
                      {"tokenizer_hash", to_hex(tokenizer.hash())},
                      {"train", side_json(text.train, config.data.train)},
                      {"valid", side_json(text.valid, valid)}};
    out.write(all.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    return ExitCode::kDone;
  }
  out.write(side_text("training text", text.train, config.data.train) +
            side_text("validation text", text.valid, valid) +
            fmt::format("tokenizer   {}, {} forms\n", type, tokenizer.size()));
  return ExitCode::kDone;
}

}  // namespace

Action set_up_data_build(CLI::App& command) {
  auto arguments = std::make_shared<DataBuildArguments>();
  add_config_arguments(command, arguments->config, Presence::kOptional);
  add_text_arguments(command, arguments->text);
  add_option(command, "--tokenizer", arguments->tokenizer, "FILE",
             "a tokenizer, model or run whose tokenizer is used, instead of tokenizer.file");
  add_option(command, "--threads", arguments->threads, "N", "instead of train.threads",
             {.min = 0, .max = 4096});
  add_flag(command, "--json", arguments->json, "one JSON object instead of tables");
  add_verbosity(command, arguments->verbosity);
  return [arguments](Output& out) { return run_data_build(*arguments, out); };
}

}  // namespace sluice::cli
