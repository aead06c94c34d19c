#include "src/cli/interactive.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/base/stop_signal.h"
#include "sluice/eval/dialogue.h"
#include "sluice/text/prompt.h"
#include "src/cli/standard_input.h"

namespace sluice::cli {
namespace {

constexpr std::uint64_t kMaxLineBytes = std::uint64_t{1} << 24;

// What only a person at a terminal is shown.
void show_on_terminal(bool terminal, const char* text) {
  if (terminal && isatty(STDERR_FILENO) == 1) std::fputs(text, stderr);
}

std::optional<text::Prompt> encode_line(const std::string& line, const text::Tokenizer& tokenizer,
                                        bool terminal) {
  try {
    text::Prompt prompt = text::encode_prompt(line, tokenizer, "standard input");
    if (prompt.unknown > 0) spdlog::warn("{} unknown words are read as <unk>", prompt.unknown);
    return prompt;
  } catch (const Error& error) {
    if (!terminal) throw;
    spdlog::warn("{}", error.what());
    return std::nullopt;
  }
}

void take_turn(eval::Dialogue& dialogue, const text::Prompt& line, Output& out) {
  const InterruptFlag interrupt;
  bool ends_in_newline = false;
  dialogue.turn(line.ids, [&](std::string_view piece) {
    out.write(piece);
    out.flush();
    if (!piece.empty()) ends_in_newline = piece.back() == '\n';
    return !interrupt.raised();
  });
  // A terminal shows ^C where it was typed.
  if (!ends_in_newline || interrupt.raised()) out.write("\n");
  out.flush();
}

}  // namespace

void run_interactive(const eval::Writer& writer, const model::SamplerOptions& sampling,
                     Output& out) {
  const bool terminal = isatty(STDIN_FILENO) == 1;
  eval::Dialogue dialogue(writer, sampling);
  StandardInputLines lines(kMaxLineBytes);
  for (;;) {
    show_on_terminal(terminal, "> ");
    const std::optional<std::string> line = lines.next();
    if (!line) break;
    if (const auto prompt = encode_line(*line, *writer.tokenizer, terminal)) {
      take_turn(dialogue, *prompt, out);
    }
  }
  show_on_terminal(terminal, "\n");
}

}  // namespace sluice::cli
