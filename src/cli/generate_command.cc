#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "sluice/base/file.h"
#include "sluice/config/open_model.h"
#include "sluice/model/sampler.h"
#include "sluice/model/stream.h"
#include "sluice/text/text_stream.h"
#include "sluice/text/utf8.h"
#include "src/cli/commands.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"
#include "src/cli/standard_input.h"

namespace sluice::cli {
namespace {

constexpr std::uint64_t kMaxPromptBytes = std::uint64_t{1} << 28;

struct GenerateArguments {
  ModelArguments model;
  std::optional<std::string> prompt, prompt_file;
  Index max_tokens = 200;
  model::SamplerOptions sampling;
  std::optional<Index> seed;
  bool echo = false, json = false;
};

std::string read_prompt(const GenerateArguments& arguments) {
  if (arguments.prompt && arguments.prompt_file) {
    throw Error(ExitCode::kUsage, "--prompt and --prompt-file: expected one of them, found both");
  }
  if (!arguments.prompt_file) return arguments.prompt.value_or("");
  return *arguments.prompt_file == "-" ? read_standard_input(kMaxPromptBytes)
                                       : read_whole_file(*arguments.prompt_file, kMaxPromptBytes);
}

// The prompt as tokenizer ids; LF is </s>. A character the model has never seen is an error, an
// unknown word is <unk>, as in the text that word models are trained on.
std::vector<int> encode_prompt(const std::string& prompt, const text::Tokenizer& tokenizer) {
  if (const auto bad = text::find_invalid_utf8(prompt)) {
    throw Error(ExitCode::kBadData, "prompt: offset {}: not UTF-8", *bad);
  }
  text::Encoding encoding;
  for (std::size_t begin = 0; begin <= prompt.size();) {
    const std::size_t end = std::min(prompt.find('\n', begin), prompt.size());
    tokenizer.encode(std::string_view(prompt).substr(begin, end - begin), encoding);
    if (end < prompt.size()) {
      encoding.ids.push_back(tokenizer.end_of_line());
      encoding.oov.push_back(false);
    }
    begin = end + 1;
  }
  std::size_t unknown = 0;
  for (std::size_t i = 0, offset = 0; i < encoding.ids.size(); ++i) {
    unknown += encoding.oov[i];
    if (tokenizer.type() != text::TokenizerType::kChar) continue;
    const std::size_t length = text::utf8_length(std::string_view(prompt).substr(offset));
    if (encoding.oov[i]) {
      throw Error(ExitCode::kBadData,
                  "prompt: offset {}: \"{}\" is not among the {} characters that the model knows",
                  offset, prompt.substr(offset, length), tokenizer.size() - 2);
    }
    offset += length;
  }
  if (unknown > 0) spdlog::warn("{} words of the prompt are unknown and read as <unk>", unknown);
  return encoding.ids;
}

struct Sample {
  std::string text;
  Index tokens = 0;
  double logprob = 0;
};

// Writes the continuation as it comes, or only collects it when `out` is null.
Sample continue_text(const config::OpenModel& model, const std::vector<int>& prompt,
                     const GenerateArguments& arguments, std::uint64_t seed, Output* out) {
  const text::Tokenizer& tokenizer = *model.parts.tokenizer;
  const text::Permutation& permutation = model.parts.permutation;
  std::vector<int> inputs = {permutation.to_model(tokenizer.end_of_line())};
  for (const int id : prompt) inputs.push_back(permutation.to_model(id));
  model::Stream stream(*model.network);
  model::SamplerOptions sampling = arguments.sampling;
  sampling.seed = seed;
  model::Sampler sampler(sampling);
  text::TextStream characters;
  std::vector<Real> log_probabilities(static_cast<std::size_t>(tokenizer.size()));
  Sample sample;
  const auto emit = [&](const std::string& piece) {
    sample.text += piece;
    if (out == nullptr || piece.empty()) return;
    out->write(piece);
    out->flush();
  };
  int previous = prompt.empty() ? -1 : prompt.back();
  for (; sample.tokens < arguments.max_tokens; ++sample.tokens) {
    stream.feed(inputs);
    stream.next(log_probabilities);
    if (!std::isfinite(*std::max_element(log_probabilities.begin(), log_probabilities.end()))) {
      throw Error(ExitCode::kBadData, "{}: its probabilities are not finite: the run diverged",
                  model.file.path());
    }
    const int word = sampler.draw(log_probabilities);
    sample.logprob += static_cast<double>(log_probabilities[static_cast<std::size_t>(word)]);
    const int id = permutation.to_tokenizer(word);
    std::string bytes;
    tokenizer.decode(id, previous, bytes);
    emit(characters.add(bytes));
    previous = id;
    inputs = {word};
  }
  return sample;
}

ExitCode run_generate(const GenerateArguments& arguments, Output& out) {
  train::ProgressBar bar(false);
  start_logging(arguments.model.verbosity, bar);
  const std::string prompt = read_prompt(arguments);
  ThreadPool pool(arguments.model.thread_count());
  const auto backend = kernels::make_reference_backend(pool);
  const config::OpenModel model = config::open_model(arguments.model.path(), *backend);
  const std::vector<int> ids = encode_prompt(prompt, *model.parts.tokenizer);
  const std::uint64_t seed =
      arguments.seed ? static_cast<std::uint64_t>(*arguments.seed) : std::random_device{}();
  const auto begin = std::chrono::steady_clock::now();
  if (arguments.echo && !arguments.json) out.write(prompt);
  const Sample sample = continue_text(model, ids, arguments, seed, arguments.json ? nullptr : &out);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (arguments.json) {
    const nlohmann::ordered_json object = {
        {"prompt", prompt},          {"text", arguments.echo ? prompt + sample.text : sample.text},
        {"tokens", sample.tokens},   {"logprob_nats", sample.logprob},
        {"finish_reason", "length"}, {"seed", seed},
        {"seconds", seconds}};
    out.write(object.dump());
  }
  out.write("\n");
  spdlog::debug("seed {}; {} tokens in {:.2f} s", seed, sample.tokens, seconds);
  return ExitCode::kDone;
}

}  // namespace

Action set_up_generate(CLI::App& command) {
  auto arguments = std::make_shared<GenerateArguments>();
  add_model_arguments(command, arguments->model);
  add_option(command, "--prompt", arguments->prompt, "TEXT", "what the text starts with");
  add_option(command, "--prompt-file", arguments->prompt_file, "FILE",
             "the same from a file; - is standard input");
  add_option(command, "-n,--max-tokens", arguments->max_tokens, "N", "tokens to write",
             {.min = 0, .max = 1e12});
  add_option(command, "--temperature,--temp", arguments->sampling.temperature, "T",
             "below 1: more of what is probable; 0: always the most probable",
             {.min = 0, .max = 1000});
  add_option(command, "--top-k", arguments->sampling.top_k, "K",
             "only among the K most probable tokens; 0: all", {.min = 0, .max = 1e9});
  add_option(command, "--top-p", arguments->sampling.top_p, "P",
             "only among the fewest tokens with mass P", {.min = 0, .max = 1, .above_min = true});
  add_option(command, "--seed", arguments->seed, "N", "same seed, same text; default: a new one",
             {.min = 0, .max = 9e15});
  add_flag(command, "--echo", arguments->echo, "write the prompt first");
  add_flag(command, "--json", arguments->json,
           "one object: prompt, text, tokens, logprob_nats, seed, ...");
  return [arguments](Output& out) { return run_generate(*arguments, out); };
}

}  // namespace sluice::cli
