#include "src/cli/interactive.h"

#include <fmt/format.h>
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
                                        const std::string& source, bool terminal) {
  try {
    text::Prompt prompt = text::encode_prompt(line, tokenizer, source);
    if (prompt.unknown > 0) spdlog::warn("{} unknown words are read as <unk>", prompt.unknown);
    return prompt;
  } catch (const Error& error) {
    // At a terminal the person types it again.
    if (!terminal || error.code() != ExitCode::kBadData) throw;
    spdlog::warn("{}", error.what());
    return std::nullopt;
  }
}

void take_turn(eval::Dialogue& dialogue, const text::Prompt& line, bool terminal, Output& out) {
  // Elsewhere there is nobody to go on with: an interrupt ends the process, as it would any.
  std::optional<InterruptFlag> interrupt;
  if (terminal) interrupt.emplace();
  const auto interrupted = [&] { return interrupt && interrupt->raised(); };
  bool ends_in_newline = false;
  dialogue.turn(line.ids, [&](std::string_view piece) {
    out.write(piece);
    out.flush();
    if (!piece.empty()) ends_in_newline = piece.back() == '\n';
    return !interrupted();
  });
  // A terminal shows ^C where it was typed.
  const bool shows_interrupt = interrupted() && isatty(STDOUT_FILENO) == 1;
  if (!ends_in_newline || shows_interrupt) out.write("\n");
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
    const std::string source = fmt::format("standard input: line {}", lines.count());
    if (const auto prompt = encode_line(*line, *writer.tokenizer, source, terminal)) {
      take_turn(dialogue, *prompt, terminal, out);
    }
  }
  show_on_terminal(terminal, "\n");
}

}  // namespace sluice::cli
