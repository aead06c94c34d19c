#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <random>

#include "sluice/base/file.h"
#include "sluice/config/open_model.h"
#include "sluice/eval/beam_search.h"
#include "sluice/eval/generation.h"
#include "sluice/text/prompt.h"
#include "sluice/text/utf8.h"
#include "src/cli/commands.h"
#include "src/cli/interactive.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"
#include "src/cli/sample_printer.h"
#include "src/cli/standard_input.h"

namespace sluice::cli {
namespace {

constexpr std::uint64_t kMaxPromptBytes = std::uint64_t{1} << 28;

struct GenerateArguments {
  ModelArguments model;
  std::optional<std::string> prompt, prompt_file, prompts;
  bool interactive = false;
  Index max_tokens = 200;
  std::vector<std::string> stop;
  // What only drawing words has a use for.
  std::optional<Index> samples, top_k, repeat_window, seed;
  std::optional<double> temperature, top_p, min_p, repeat_penalty;
  std::optional<Index> beam;
  bool echo = false, json = false;
};

using Given = std::pair<const char*, bool>;

// Error kUsage when more than one of them is given.
void require_one_of(std::initializer_list<Given> options) {
  const char* first = nullptr;
  for (const auto& [name, given] : options) {
    if (given && first != nullptr) {
      throw Error(ExitCode::kUsage, "{} and {}: expected one of them, found both", first, name);
    }
    if (given) first = name;
  }
}

void refuse_with(const char* mode, std::initializer_list<Given> options) {
  for (const auto& [name, given] : options) {
    if (given) throw Error(ExitCode::kUsage, "{}: has no use for {}", mode, name);
  }
}

void check(const GenerateArguments& a) {
  require_one_of({{"--prompt", a.prompt.has_value()},
                  {"--prompt-file", a.prompt_file.has_value()},
                  {"--prompts", a.prompts.has_value()},
                  {"--interactive", a.interactive}});
  if (a.beam) {
    refuse_with("--beam", {{"--temperature", a.temperature.has_value()},
                           {"--top-k", a.top_k.has_value()},
                           {"--top-p", a.top_p.has_value()},
                           {"--min-p", a.min_p.has_value()},
                           {"--repeat-penalty", a.repeat_penalty.has_value()},
                           {"--repeat-window", a.repeat_window.has_value()},
                           {"--num-samples", a.samples.has_value()},
                           {"--seed", a.seed.has_value()}});
  }
  if (a.interactive) {
    refuse_with("--interactive", {{"--beam", a.beam.has_value()},
                                  {"--num-samples", a.samples.has_value()},
                                  {"--echo", a.echo},
                                  {"--json", a.json}});
  }
  if (a.repeat_window && !a.repeat_penalty) {
    throw Error(ExitCode::kUsage, "--repeat-window: has no effect without --repeat-penalty");
  }
  for (const std::string& stop : a.stop) {
    if (stop.empty() || text::find_invalid_utf8(stop)) {
      throw Error(ExitCode::kUsage, "--stop: expected text, found {}",
                  stop.empty() ? "an empty string" : "bytes that are not UTF-8");
    }
  }
}

std::string read_prompt_file(const std::string& path) {
  return path == "-" ? read_standard_input(kMaxPromptBytes)
                     : read_whole_file(path, kMaxPromptBytes);
}

std::vector<std::string> read_prompts(const GenerateArguments& arguments) {
  if (arguments.prompt_file) return {read_prompt_file(*arguments.prompt_file)};
  if (!arguments.prompts) return {arguments.prompt.value_or("")};
  const std::string all = read_prompt_file(*arguments.prompts);
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    lines.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  if (lines.empty()) {
    throw Error(ExitCode::kBadData, "{}: no prompts (expected one a line, found nothing)",
                *arguments.prompts == "-" ? "standard input" : *arguments.prompts);
  }
  return lines;
}

// All of them before anything is written: a bad one must not come up hours later.
void check_prompts(const std::vector<std::string>& prompts, bool many,
                   const text::Tokenizer& tokenizer) {
  std::size_t unknown = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::string source = many ? fmt::format("prompt {}", i + 1) : "prompt";
    unknown += text::encode_prompt(prompts[i], tokenizer, source).unknown;
  }
  if (unknown > 0) {
    spdlog::warn("{} words of the prompt{} are unknown and read as <unk>", unknown,
                 many ? "s" : "");
  }
}

model::SamplerOptions sampler_options(const GenerateArguments& a) {
  model::SamplerOptions options;
  options.temperature = a.temperature.value_or(options.temperature);
  options.top_k = a.top_k.value_or(options.top_k);
  options.top_p = a.top_p.value_or(options.top_p);
  options.min_p = a.min_p.value_or(options.min_p);
  options.repeat_penalty = a.repeat_penalty.value_or(options.repeat_penalty);
  options.repeat_window = a.repeat_window.value_or(options.repeat_window);
  options.seed = a.seed ? static_cast<std::uint64_t>(*a.seed) : std::random_device{}();
  return options;
}

// Marked texts take their time one after the other; where they go to the screen, that shows.
bool wants_progress(const GenerateArguments& a) {
  return (a.prompts || a.samples) && wants_bar(a.model.verbosity) && isatty(STDOUT_FILENO) == 0;
}

void write_texts(const GenerateArguments& arguments, const eval::Writer& writer,
                 train::ProgressBar& bar, Output& out) {
  const std::vector<std::string> prompts = read_prompts(arguments);
  check_prompts(prompts, arguments.prompts.has_value(), *writer.tokenizer);
  const auto ids = [&](Index prompt) {
    return text::encode_prompt(prompts[static_cast<std::size_t>(prompt)], *writer.tokenizer, "")
        .ids;
  };
  const auto count = static_cast<Index>(prompts.size());
  const Index samples = arguments.samples.value_or(1);
  SamplePrinter printer({.samples = samples,
                         .marked = arguments.prompts.has_value() || samples > 1,
                         .seeded = !arguments.beam,
                         .echo = arguments.echo,
                         .json = arguments.json},
                        prompts, out);
  const auto show_sample = [&](Index number, const eval::Sample& sample) {
    printer.show_sample(number, sample);
    bar.show(static_cast<double>(number + 1) / static_cast<double>(count * samples),
             fmt::format("{} of {} texts", number + 1, count * samples));
  };
  if (arguments.beam) {
    for (Index prompt = 0; prompt < count; ++prompt) {
      show_sample(prompt, eval::beam_search(writer, ids(prompt), *arguments.beam));
    }
    return;
  }
  eval::generate(
      writer,
      {.prompts = count, .samples = samples, .prompt = ids, .sampling = sampler_options(arguments)},
      [&](Index, std::string_view piece) { printer.show_piece(piece); }, show_sample);
}

ExitCode run_generate(const GenerateArguments& arguments, Output& out) {
  train::ProgressBar bar(wants_progress(arguments));
  start_logging(arguments.model.verbosity, bar);
  check(arguments);
  ThreadPool pool(arguments.model.thread_count());
  const auto backend = kernels::make_reference_backend(pool);
  const config::OpenModel model = config::open_model(arguments.model.path(), *backend);
  const eval::Writer writer = {.model = model.network.get(),
                               .tokenizer = model.parts.tokenizer.get(),
                               .permutation = &model.parts.permutation,
                               .source = model.file.path(),
                               .lines = model.parts.config.data.mode == text::Mode::kLines,
                               .max_tokens = arguments.max_tokens,
                               .stop = arguments.stop};
  if (arguments.interactive) {
    run_interactive(writer, sampler_options(arguments), out);
  } else {
    write_texts(arguments, writer, bar, out);
    bar.clear();
  }
  return ExitCode::kDone;
}

void add_prompt_options(CLI::App& command, GenerateArguments& a) {
  add_option(command, "--prompt", a.prompt, "TEXT", "what the text starts with");
  add_option(command, "--prompt-file", a.prompt_file, "FILE",
             "the same from a file; - is standard input");
  add_option(command, "--prompts", a.prompts, "FILE",
             "a prompt a line (- is standard input), written together; each text comes after a "
             "line \"--- prompt 2 "
             "sample 1 ---\"");
  add_flag(command, "--interactive", a.interactive,
           "continue every line of standard input in turn, as one text; Ctrl-C breaks off, Ctrl-D "
           "ends");
}

void add_length_options(CLI::App& command, GenerateArguments& a) {
  add_option(command, "-n,--max-tokens", a.max_tokens, "N", "tokens to write",
             {.min = 0, .max = 1e12});
  add_list(command, "--stop", a.stop, "TEXT", "end before this text; may be given several times");
  add_option(command, "--num-samples", a.samples, "N",
             "texts for each prompt, marked as with --prompts (default 1)", {.min = 1, .max = 1e9});
}

void add_sampling_options(CLI::App& command, GenerateArguments& a) {
  add_option(command, "--temperature,--temp", a.temperature, "T",
             "below 1: more of what is probable; 0: always the most probable (default 0.8)",
             {.min = 0, .max = 1000});
  add_option(command, "--top-k", a.top_k, "K",
             "only among the K most probable tokens (default 0: all)", {.min = 0, .max = 1e9});
  add_option(command, "--top-p", a.top_p, "P",
             "only among the fewest tokens with mass P (default 1)",
             {.min = 0, .max = 1, .above_min = true});
  add_option(command, "--min-p", a.min_p, "P",
             "only tokens at least P times as probable as the first (default 0)",
             {.min = 0, .max = 1});
  add_option(command, "--repeat-penalty", a.repeat_penalty, "R",
             "log-probabilities of the latest tokens times R: above 1, rarer (default 1)",
             {.min = 0, .max = 1000, .above_min = true});
  add_option(command, "--repeat-window", a.repeat_window, "N",
             "how many tokens that is (default 64)", {.min = 1, .max = 1e9});
  add_option(command, "--seed", a.seed, "N",
             "same seed, same text; sample 1 has this one, the others have their own (default: a "
             "new one)",
             {.min = 0, .max = 9e15});
  add_option(command, "--beam", a.beam, "N",
             "instead of drawing, search the most probable text among N at a time",
             {.min = 1, .max = 1024});
}

}  // namespace

Action set_up_generate(CLI::App& command) {
  auto arguments = std::make_shared<GenerateArguments>();
  add_model_arguments(command, arguments->model);
  add_prompt_options(command, *arguments);
  add_length_options(command, *arguments);
  add_sampling_options(command, *arguments);
  add_flag(command, "--echo", arguments->echo, "write the prompt first");
  add_flag(command, "--json", arguments->json,
           "an object a line: prompt, text, tokens, logprob_nats, finish_reason, seed, seconds");
  return [arguments](Output& out) { return run_generate(*arguments, out); };
}

}  // namespace sluice::cli
