#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <memory>

#include "sluice/base/file.h"
#include "sluice/base/output_place.h"
#include "sluice/base/printable.h"
#include "sluice/base/stop_signal.h"
#include "sluice/text/tokenizer.h"
#include "src/cli/commands.h"
#include "src/cli/enum_option.h"
#include "src/cli/logging.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

using text::TokenizerType;

struct TrainTokenizerArguments {
  std::vector<std::string> files;
  std::optional<std::string> out, algorithm, vocab_size;
  std::string type = "sentencepiece";
  std::optional<Index> min_count;
  bool unk_in_text = false;
  std::string invalid_utf8 = "error";
  bool overwrite = false;
  Verbosity verbosity;
};

// An option without effect is a mistake that the user should hear of.
void refuse_idle(bool given, const char* option, bool has_effect, const char* types,
                 const std::string& found) {
  if (!given || has_effect) return;
  throw Error(ExitCode::kUsage, "{}: belongs to --type {} (found --type {})", option, types, found);
}

text::TokenizerConfig tokenizer_config(const TrainTokenizerArguments& arguments) {
  text::TokenizerConfig config;
  config.type = parse_enum<TokenizerType>("--type", arguments.type);
  const bool pieces = config.type == TokenizerType::kSentencePiece;
  const bool counted = config.type == TokenizerType::kWord || config.type == TokenizerType::kChar;
  refuse_idle(arguments.algorithm.has_value(), "--algorithm", pieces, "sentencepiece",
              arguments.type);
  refuse_idle(arguments.vocab_size.has_value(), "--vocab-size", pieces || counted,
              "sentencepiece, word or char", arguments.type);
  refuse_idle(arguments.min_count.has_value(), "--min-count", counted, "word or char",
              arguments.type);
  refuse_idle(arguments.unk_in_text, "--unk-in-text", config.type == TokenizerType::kWord, "word",
              arguments.type);
  if (arguments.algorithm) {
    config.algorithm = parse_enum<text::Algorithm>("--algorithm", *arguments.algorithm);
  }
  if (arguments.vocab_size && *arguments.vocab_size != "auto") {
    config.vocab_size =
        parse_int("--vocab-size", *arguments.vocab_size, {.min = 2, .max = 1 << 28});
  }
  config.min_count = arguments.min_count.value_or(config.min_count);
  return config;
}

void check_out(const TrainTokenizerArguments& arguments, const text::Corpus& corpus) {
  if (!arguments.out || arguments.out->empty()) {
    throw Error(ExitCode::kUsage, "--out: expected the file of the tokenizer, found {}",
                arguments.out ? "\"\"" : "none");
  }
  std::error_code error;
  for (const std::string& file : corpus.files) {
    if (!std::filesystem::equivalent(file, *arguments.out, error)) continue;
    throw Error(ExitCode::kUsage, "--out: {} is the text itself; name another file",
                quote(*arguments.out));
  }
  if (!arguments.overwrite && std::filesystem::exists(*arguments.out, error)) {
    throw Error(ExitCode::kExists, "{}: exists; --overwrite replaces it", *arguments.out);
  }
  check_replaceable(*arguments.out);
}

ExitCode run_tokenizer_train(const TrainTokenizerArguments& arguments, Output& out) {
  Output::check_open();
  const text::TokenizerConfig config = tokenizer_config(arguments);
  const text::Corpus corpus(
      text::expand_files(arguments.files),
      parse_enum<text::InvalidUtf8>("--invalid-utf8", arguments.invalid_utf8));
  text::check_trainable(config, corpus.invalid_utf8, {"--type", "--vocab-size", "--invalid-utf8"});
  check_out(arguments, corpus);
  train::ProgressBar bar(false);
  start_logging(arguments.verbosity, bar);
  const auto tokenizer =
      text::train_tokenizer(corpus, {}, config, arguments.unk_in_text,
                            [](const std::string& note) { spdlog::info("{}", note); });
  spdlog::info("{} tokenizer: vocabulary of {}, {}", arguments.type, tokenizer->size(),
               !tokenizer->lossless()       ? "lossy: a text cannot be restored from its tokens"
               : tokenizer->carries_bytes() ? "lossless"
                                            : "lossless for text of these forms alone");
  {
    const DelayedSignals delayed;
    write_file_atomically(*arguments.out, tokenizer->serialise());
  }
  out.write(*arguments.out + "\n");
  return ExitCode::kDone;
}

}  // namespace

Action set_up_tokenizer_train(CLI::App& command) {
  auto arguments = std::make_shared<TrainTokenizerArguments>();
  add_option(command, "--out", arguments->out, "TOKENIZER", "the file to write");
  add_option(command, "--type", arguments->type, enum_choices<TokenizerType>(), "what a token is");
  add_option(command, "--algorithm", arguments->algorithm, enum_choices<text::Algorithm>(),
             "sentencepiece: how pieces are found (default unigram)");
  add_option(command, "--vocab-size", arguments->vocab_size, "N|auto",
             "sentencepiece: tokens; word, char: at most, </s> and <unk> included (default auto: "
             "by the text; word, char: no limit)");
  add_option(command, "--min-count", arguments->min_count, "N",
             "word, char: rarer forms are <unk> (default 1)", {.min = 1, .max = 1 << 28});
  add_flag(command, "--unk-in-text", arguments->unk_in_text,
           "word: a literal <unk> in the text is the unknown word");
  add_option(command, "--invalid-utf8", arguments->invalid_utf8, enum_choices<text::InvalidUtf8>(),
             "what becomes of bytes that are not UTF-8");
  add_flag(command, "--overwrite", arguments->overwrite, "replace a file that is there");
  add_verbosity(command, arguments->verbosity);
  add_positional_list(command, "FILE", arguments->files, "the text, one corpus in the order given",
                      Presence::kRequired);
  return [arguments](Output& out) { return run_tokenizer_train(*arguments, out); };
}

}  // namespace sluice::cli
