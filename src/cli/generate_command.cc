#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <random>

#include "sluice/config/open_model.h"
#include "sluice/eval/beam_search.h"
#include "sluice/eval/generation.h"
#include "sluice/kernels/instruction_set.h"
#include "sluice/text/utf8.h"
#include "src/cli/commands.h"
#include "src/cli/interactive.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"
#include "src/cli/prompts.h"
#include "src/cli/sample_printer.h"

namespace sluice::cli {
namespace {

struct GenerateArguments {
  ModelArguments model;
  PromptArguments prompts;
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
void at_most_one_of(std::initializer_list<Given> options) {
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
  at_most_one_of({{"--prompt", a.prompts.text.has_value()},
                  {"--prompt-file", a.prompts.file.has_value()},
                  {"--prompts", a.prompts.list.has_value()},
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
  // Nothing is drawn: all samples would be one, whatever the seed.
  if (a.temperature == 0.0) {
    refuse_with("--temperature 0", {{"--top-k", a.top_k.has_value()},
                                    {"--top-p", a.top_p.has_value()},
                                    {"--min-p", a.min_p.has_value()},
                                    {"--num-samples above 1", a.samples.value_or(1) > 1},
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

// What takes its time without a word. A text that appears on the screen as it is written shows how
// far it is.
bool wants_progress(const GenerateArguments& a) {
  const bool silent = a.prompts.list || a.samples.value_or(1) > 1 || a.json || a.beam;
  return silent && wants_bar(a.model.verbosity);
}

// A run of one text counts tokens, a run of several texts.
class TextProgress {
 public:
  TextProgress(train::ProgressBar& bar, Index texts, Index max_tokens)
      : bar_(bar), texts_(texts), max_tokens_(max_tokens) {}

  void show_tokens(Index tokens) {
    if (texts_ == 1) show(tokens, max_tokens_, "tokens");
  }
  void show_texts(Index texts) {
    if (texts_ > 1) show(texts, texts_, "texts");
  }

 private:
  void show(Index done, Index all, const char* unit) {
    if (!bar_.enabled()) return;
    bar_.show(static_cast<double>(done) / static_cast<double>(all),
              fmt::format("{} of {} {}", done, all, unit));
  }

  train::ProgressBar& bar_;
  Index texts_, max_tokens_;
};

void write_texts(const GenerateArguments& arguments, const eval::Writer& writer,
                 train::ProgressBar& bar, Output& out) {
  const Prompts prompts(arguments.prompts, writer);
  const Index samples = arguments.samples.value_or(1);
  SamplePrinter printer({.samples = samples,
                         .marked = arguments.prompts.list.has_value() || samples > 1,
                         .seeded = !arguments.beam && arguments.temperature != 0.0,
                         .echo = arguments.echo,
                         .json = arguments.json},
                        prompts.texts(), out);
  TextProgress progress(bar, prompts.count() * samples, writer.max_tokens);
  const auto show_sample = [&](Index number, const eval::Sample& sample) {
    if (isatty(STDOUT_FILENO) == 1) bar.clear();
    printer.show_sample(number, sample);
    progress.show_texts(number + 1);
  };
  if (arguments.beam) {
    for (Index prompt = 0; prompt < prompts.count(); ++prompt) {
      show_sample(prompt, eval::beam_search(writer, prompts.ids(prompt), *arguments.beam,
                                            [&](Index tokens) { progress.show_tokens(tokens); }));
    }
    return;
  }
  Index tokens = 0;
  eval::generate(
      writer,
      {.prompts = prompts.count(),
       .samples = samples,
       .prompt = [&](Index prompt) { return prompts.ids(prompt); },
       .sampling = sampler_options(arguments)},
      [&](Index number, std::string_view piece) {
        printer.show_piece(number, piece);
        progress.show_tokens(++tokens);
      },
      show_sample);
}

ExitCode run_generate(const GenerateArguments& arguments, Output& out) {
  train::ProgressBar bar(wants_progress(arguments));
  start_logging(arguments.model.verbosity, bar);
  check(arguments);
  const kernels::WeightFormat weights = parse_weights(arguments.model.weights);
  ThreadPool pool(arguments.model.thread_count());
  const auto backend = kernels::make_backend(pool);
  spdlog::debug("f32 ({}) on {} threads, weights: {}", backend->name(), pool.size(),
                name_of(weights));
  const config::OpenModel model = config::open_model(arguments.model.path(), *backend);
  model.network->narrow(weights);
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

void add_length_options(CLI::App& command, GenerateArguments& a) {
  add_option(command, "-n,--max-tokens", a.max_tokens, "N", "tokens to write",
             {.min = 0, .max = 1e12});
  add_list(command, "--stop", a.stop, "TEXT", "end before this text");
  add_option(command, "--num-samples", a.samples, "N",
             "texts for each prompt, marked as with --prompts (default 1)", {.min = 1, .max = 1e9});
}

void add_sampling_options(CLI::App& command, GenerateArguments& a) {
  add_option(command, "--temperature,--temp", a.temperature, "T",
             "below 1: more of what is probable; 0: always the most probable, nothing is drawn "
             "(default 0.8)",
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
             {.min = 0.01, .max = 1000});
  add_option(command, "--repeat-window", a.repeat_window, "N",
             "how many tokens that is (default 64)", {.min = 1, .max = 1e9});
  add_option(command, "--seed", a.seed, "N",
             "same seed, same text; sample 1 of prompt 1 has this one, the others have their own, "
             "by its and their two numbers (default: a new one)",
             {.min = 0, .max = 9e15});
  add_option(command, "--beam", a.beam, "N",
             "instead of drawing, search the most probable text among N at a time",
             {.min = 1, .max = 1024});
}

}  // namespace

Action set_up_generate(CLI::App& command) {
  auto arguments = std::make_shared<GenerateArguments>();
  add_model_arguments(command, arguments->model);
  add_prompt_options(command, arguments->prompts);
  add_flag(
      command, "--interactive", arguments->interactive,
      "continue every line of standard input in turn, as one text, which an empty line lets go "
      "on where it stands (a model of lines: each line alone); on a terminal Ctrl-C breaks "
      "off, Ctrl-D ends");
  add_length_options(command, *arguments);
  add_sampling_options(command, *arguments);
  add_flag(command, "--echo", arguments->echo, "write the prompt first");
  add_flag(command, "--json", arguments->json,
           "an object a line: prompt, text, tokens, logprob_nats, finish_reason, seed, seconds");
  return [arguments](Output& out) { return run_generate(*arguments, out); };
}

}  // namespace sluice::cli
