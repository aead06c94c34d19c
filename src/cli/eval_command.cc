#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"
#include "sluice/config/open_model.h"
#include "sluice/eval/evaluation.h"
#include "sluice/kernels/instruction_set.h"
#include "src/cli/commands.h"
#include "src/cli/enum_option.h"
#include "src/cli/gains.h"
#include "src/cli/logging.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"
#include "src/cli/precision_option.h"
#include "src/cli/text_arguments.h"

namespace sluice::cli {
namespace {

struct EvalArguments {
  ModelArguments model;
  std::vector<std::string> files;
  std::optional<std::string> invalid_utf8, mode;
  std::string precision{name_of(kernels::Precision::kF32)};
  GainArguments gains;
  bool json = false;
};

// A text as it was scored.
struct Scored {
  const eval::Totals& totals;
  text::Mode mode;
  kernels::WeightFormat weights;
  double seconds;
};

// The frozen keys of `eval --json`. JSON has no infinity and no NaN: these become null.
nlohmann::ordered_json figures(const Scored& scored, const config::OpenModel& model,
                               const std::vector<std::string>& files) {
  const auto& [totals, mode, weights, seconds] = scored;
  const auto& tokenizer = *model.parts.tokenizer;
  const kernels::Precision precision = model.network->backend().precision();
  return {
      {"perplexity", eval::perplexity(totals)},
      {"perplexity_stderr", eval::perplexity_stderr(totals)},
      {"nll_nats_total", totals.nats},
      {"nats_per_token", eval::nats_per_token(totals)},
      {"tokens", totals.tokens},
      {"word_perplexity", eval::word_perplexity(totals)},
      {"words", totals.counts.words},
      {"bits_per_byte", eval::bits_per_byte(totals)},
      {"bytes", totals.counts.bytes},
      {"bits_per_char", eval::bits_per_char(totals)},
      {"chars", totals.counts.chars},
      {"lines", totals.counts.lines},
      {"oov", totals.oov},
      {"unk_literal", totals.literal_unknowns},
      {"perplexity_excl_oov", eval::perplexity_excl_oov(totals)},
      {"mode", name_of(mode)},
      {"receptive_field", model::receptive_field(model.parts.config.model)},
      {"context", nullptr},
      // Of the products, or of the weights where those are f32; one of them always is.
      {"precision", precision != kernels::Precision::kF32 ? name_of(precision) : name_of(weights)},
      {"vocab_size", tokenizer.size()},
      {"lossless", tokenizer.lossless() && totals.oov == 0},
      {"step", model.file.state().step},
      {"files", files},
      {"seconds", seconds},
      {"tokens_per_second", static_cast<double>(totals.tokens) / seconds},
      {"model_hash", to_hex(model.file.hash())},
      {"data_hash", to_hex(totals.data_hash)},
      {"tokenizer_hash", to_hex(tokenizer.hash())},
      {"version", SLUICE_VERSION},
  };
}

// For people: a figure a line, perplexity last.
std::string report(const Scored& scored, const config::OpenModel& model) {
  const auto& [totals, mode, weights, seconds] = scored;
  const auto& tokenizer = *model.parts.tokenizer;
  std::string text = fmt::format(
      "tokens           {} ({} lines, {} words, {} characters, {} bytes)\n"
      "OOV              {} of {} tokens; <unk> spelt in the text: {}\n"
      "context          {}; receptive field {} tokens\n"
      "nats per token   {:.5f}\n"
      "bits per byte    {:.5f}\n"
      "bits per char    {:.5f}\n"
      "word perplexity  {:.3f}   exp(nats / (words + lines))\n",
      totals.tokens, totals.counts.lines, totals.counts.words, totals.counts.chars,
      totals.counts.bytes, totals.oov, totals.tokens, totals.literal_unknowns,
      mode == text::Mode::kLines ? "each line alone" : "carried over the whole text",
      model::receptive_field(model.parts.config.model), eval::nats_per_token(totals),
      eval::bits_per_byte(totals), eval::bits_per_char(totals), eval::word_perplexity(totals));
  if (totals.oov > 0) {
    text += fmt::format("without OOVs     {:.3f}\n", eval::perplexity_excl_oov(totals));
  }
  if (!tokenizer.lossless()) {
    text +=
        "LOSSY            the text cannot be restored from its tokens: compare word perplexity\n";
  }
  if (weights != kernels::WeightFormat::kFloat32) {
    text += fmt::format("weights          rounded to {}\n", name_of(weights));
  }
  const kernels::Backend& backend = model.network->backend();
  text +=
      fmt::format("speed            {} tokens/s in {} ({}), {}\n",
                  train::format_count(static_cast<double>(totals.tokens) / seconds),
                  name_of(backend.precision()), backend.name(), train::format_duration(seconds));
  return text + fmt::format("perplexity       {:.4f} ± {:.4f}\n", eval::perplexity(totals),
                            eval::perplexity_stderr(totals));
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// 0 when unknown: a pipe is among them.
double total_bytes(const std::vector<std::string>& files) {
  double total = 0;
  for (const std::string& file : files) {
    std::error_code error;
    const auto size = std::filesystem::file_size(file, error);
    if (error) return 0;
    total += static_cast<double>(size);
  }
  return total;
}

// Error kNoInput for a file that cannot be read, before a large model is. Nothing is opened: of a
// pipe that would be the only time.
void check_readable(const std::vector<std::string>& files) {
  for (const std::string& file : files) {
    if (file == "-" || ::access(file.c_str(), R_OK) == 0) continue;
    throw Error(ExitCode::kNoInput, "{}: cannot open (expected text, found: {})", printable(file),
                std::strerror(errno));
  }
}

ExitCode run_eval(const EvalArguments& arguments, Output& out) {
  const auto invalid_utf8 = parse_invalid_utf8(arguments.invalid_utf8);
  std::optional<text::Mode> chosen;
  if (arguments.mode) chosen = parse_enum<text::Mode>("--mode", *arguments.mode);
  const kernels::WeightFormat weights = parse_weights(arguments.model.weights);
  const PrecisionChoice wanted = parse_precision(arguments.precision);
  if (weights != kernels::WeightFormat::kFloat32 && wanted != kernels::Precision::kF32) {
    throw Error(ExitCode::kUsage,
                "--weights {} and --precision {}: weights of fewer bits are multiplied in f32 "
                "(expected one of them, found both)",
                name_of(weights), arguments.precision);
  }
  Gains gains(arguments.gains, weights);
  train::ProgressBar bar(wants_bar(arguments.model.verbosity));
  start_logging(arguments.model.verbosity, bar);
  const kernels::InstructionSet instructions = kernels::chosen_instruction_set();
  const kernels::Precision precision = settle_precision(wanted, instructions);
  ThreadPool pool(arguments.model.thread_count());
  const auto backend = kernels::make_backend(pool, instructions, precision);
  const std::vector<std::string> files = text::expand_files(arguments.files);
  check_readable(files);
  const config::OpenModel model = config::open_model(arguments.model.path(), *backend);
  model.network->narrow(weights);
  const text::Mode mode = chosen.value_or(model.parts.config.data.mode);
  gains.start(model, mode, pool);
  const auto begin = std::chrono::steady_clock::now();
  const text::Corpus corpus(files, invalid_utf8.value_or(model.parts.config.data.invalid_utf8));
  const double total = total_bytes(corpus.files);
  const eval::Totals totals = eval::evaluate(
      *model.network, model.parts.permutation, *model.parts.tokenizer, mode, corpus,
      [&](std::uint64_t tokens, std::uint64_t bytes) {
        const double elapsed = seconds_since(begin);
        const double done = total > 0 ? static_cast<double>(bytes) / total : 0;
        bar.show(done,
                 fmt::format("{} tokens | eta {}", train::format_count(static_cast<double>(tokens)),
                             train::format_duration(done > 0 ? elapsed / done - elapsed : 0)));
        return true;
      },
      gains.observer());
  gains.finish(totals);
  bar.clear();
  const double seconds = seconds_since(begin);
  const Scored scored = {totals, mode, weights, seconds};
  if (arguments.json) {
    nlohmann::ordered_json all = figures(scored, model, corpus.files);
    all.update(nlohmann::ordered_json::parse(gains.json()));
    out.write(all.dump() + "\n");
  } else {
    out.write(report(scored, model) + gains.report());
  }
  return ExitCode::kDone;
}

}  // namespace

Action set_up_eval(CLI::App& command) {
  auto arguments = std::make_shared<EvalArguments>();
  add_model_arguments(command, arguments->model);
  add_invalid_utf8(command, arguments->invalid_utf8, "as the model's text was read");
  add_option(command, "--mode", arguments->mode, enum_choices<text::Mode>(),
             "the text as one stream, or each line alone; default: as the model was trained");
  add_precision(command, arguments->precision,
                "of products; f32: the figure that is the same on every CPU");
  add_gains(command, arguments->gains);
  add_flag(command, "--json", arguments->json, "one JSON object instead of a table");
  add_positional_list(command, "FILE", arguments->files,
                      "text, one corpus in the order given; - is standard input; .gz and "
                      "patterns too",
                      Presence::kRequired);
  return [arguments](Output& out) { return run_eval(*arguments, out); };
}

}  // namespace sluice::cli
