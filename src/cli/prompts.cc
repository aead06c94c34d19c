#include "src/cli/prompts.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/text/prompt.h"
#include "src/cli/block_input.h"

namespace sluice::cli {
namespace {

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 28;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::vector<std::string> split_lines(std::string_view all) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    lines.emplace_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

}  // namespace

void add_prompt_options(CLI::App& command, PromptArguments& arguments) {
  add_option(command, "--prompt", arguments.text, "TEXT",
             "what the text starts with; one line where the model is one of lines");
  add_option(command, "--prompt-file", arguments.file, "FILE",
             "the same from a file, - is standard input; for a model of lines without the line end "
             "that a file ends in");
  add_option(command, "--prompts", arguments.list, "FILE",
             "a prompt a line (- is standard input), written together; each text comes after a "
             "line \"--- prompt 2 sample 1 ---\"");
}

Prompts::Prompts(const PromptArguments& arguments, const eval::Writer& writer)
    : tokenizer_(writer.tokenizer) {
  read(arguments, writer.lines);
  std::size_t unknown = 0;
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    if (writer.lines) check_line(i);
    unknown += text::encode_prompt(texts_[i], *tokenizer_, source(i), offset(i)).unknown;
  }
  if (unknown > 0) {
    spdlog::warn("{} words of the prompt{} are unknown and read as <unk>", unknown,
                 many_ ? "s" : "");
  }
}

void Prompts::read(const PromptArguments& arguments, bool lines) {
  const auto& file = arguments.file ? arguments.file : arguments.list;
  source_ = !file ? "--prompt" : *file == "-" ? "standard input" : printable(*file);
  many_ = arguments.list.has_value();
  if (!file) {
    texts_ = {arguments.text.value_or("")};
    return;
  }
  const std::string bytes = read_input(*file, kMaxBytes);
  std::string_view text = bytes;
  // Editors put it there; to a model it would be a character.
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(skipped_ = kByteOrderMark.size());
  if (!many_) {
    // There, </s> would be the end of the text, not its beginning.
    if (lines && text.ends_with('\n')) text.remove_suffix(1);
    texts_ = {std::string(text)};
    return;
  }
  texts_ = split_lines(text);
  if (texts_.empty()) {
    throw Error(ExitCode::kBadData, "{}: no prompts (expected one a line, found nothing)", source_);
  }
}

void Prompts::check_line(std::size_t prompt) const {
  const std::string& text = texts_[prompt];
  const std::size_t end = text.find('\n');
  if (end == std::string::npos) return;
  throw Error(ExitCode::kBadData,
              "{}: offset {}: a line end (expected one line, as the model knows no more than a "
              "line, found {}); --prompts takes a prompt a line",
              source(prompt), offset(prompt) + end, std::count(text.begin(), text.end(), '\n') + 1);
}

std::string Prompts::source(std::size_t prompt) const {
  return many_ ? fmt::format("{}: line {}", source_, prompt + 1) : source_;
}

std::vector<int> Prompts::ids(Index prompt) const {
  const auto i = static_cast<std::size_t>(prompt);
  return text::encode_prompt(texts_[i], *tokenizer_, source(i), offset(i)).ids;
}

}  // namespace sluice::cli
