#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>

#include "sluice/base/decimal.h"
#include "sluice/base/printable.h"
#include "sluice/config/file_kind.h"
#include "sluice/text/token_file.h"
#include "sluice/text/tokenizer.h"
#include "src/cli/block_input.h"
#include "src/cli/commands.h"
#include "src/cli/enum_option.h"
#include "src/cli/logging.h"
#include "src/cli/options.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

std::unique_ptr<text::Tokenizer> open_tokenizer(const std::string& path) {
  return text::load_tokenizer(config::tokenizer_path(path));
}

void add_tokenizer(CLI::App& command, std::optional<std::string>& tokenizer) {
  add_positional(command, "TOKENIZER", tokenizer,
                 "a tokenizer's file, a SentencePiece .model, a model or a run directory",
                 Presence::kRequired);
}

struct EncodeArguments {
  std::optional<std::string> tokenizer;
  std::vector<std::string> files;
  bool ids = false, pieces = false;
  std::string invalid_utf8 = "error";
};

// Writes a line of tokens for a line of text, which may come in pieces.
class LineEncoder {
 public:
  LineEncoder(const text::Tokenizer& tokenizer, bool pieces, Output& out)
      : tokenizer_(tokenizer), pieces_(pieces), out_(out) {}

  void add(const text::LinePiece& piece) {
    if (line_end_due_) out_.write("\n");
    line_end_due_ = piece.ends;
    if (piece.begins) at_start_ = true;
    encoding_.clear();
    tokenizer_.encode_piece(piece.text, piece.begins, encoding_);
    tokens_ += encoding_.ids.size();
    unknown_ +=
        static_cast<std::uint64_t>(std::count(encoding_.oov.begin(), encoding_.oov.end(), true));
    std::string line;
    for (const int id : encoding_.ids) {
      if (!at_start_) line += ' ';
      at_start_ = false;
      line += pieces_ ? tokenizer_.describe(id) : std::to_string(id);
    }
    out_.write(line);
    bytes_ += piece.text.size() + (piece.ends ? 1 : 0);
  }

  // The last line ends as that of a single file does, so that decoding gives the same bytes: there
  // is then a byte less than lines would make.
  void finish(const text::CorpusCounts& counts, bool single_file) {
    constexpr std::uint64_t kByteOrderMark = 3;  // bytes
    const bool unterminated = counts.bytes < bytes_ + kByteOrderMark * counts.byte_order_marks;
    if (line_end_due_ && !(single_file && unterminated)) out_.write("\n");
    if (unknown_ == 0) return;
    spdlog::warn("{} of {} tokens are <unk>, for forms outside the vocabulary", unknown_, tokens_);
  }

 private:
  const text::Tokenizer& tokenizer_;
  const bool pieces_;
  Output& out_;
  text::Encoding encoding_;
  bool at_start_ = true, line_end_due_ = false;
  std::uint64_t bytes_ = 0, tokens_ = 0, unknown_ = 0;
};

ExitCode run_tokenizer_encode(const EncodeArguments& arguments, Output& out) {
  if (arguments.ids && arguments.pieces) {
    throw Error(ExitCode::kUsage, "--pieces: expected one of --ids and --pieces, found both");
  }
  const auto invalid = parse_enum<text::InvalidUtf8>("--invalid-utf8", arguments.invalid_utf8);
  Output::check_open();
  train::ProgressBar bar(false);
  start_logging({}, bar);
  const auto tokenizer = open_tokenizer(*arguments.tokenizer);
  text::check_carries_bytes(*tokenizer, invalid, "--invalid-utf8");
  const text::Corpus corpus(
      arguments.files.empty() ? std::vector<std::string>{"-"} : text::expand_files(arguments.files),
      invalid);
  LineEncoder lines(*tokenizer, arguments.pieces, out);
  const text::CorpusCounts counts =
      text::read_corpus(corpus, [&](const text::LinePiece& piece) { lines.add(piece); });
  lines.finish(counts, corpus.files.size() == 1 && invalid != text::InvalidUtf8::kReplace);
  return ExitCode::kDone;
}

struct DecodeArguments {
  std::optional<std::string> tokenizer, file;
};

// Reads lines of ids byte by byte and writes their text. Blocks may end anywhere.
class LineDecoder {
 public:
  LineDecoder(const text::Tokenizer& tokenizer, std::string source)
      : tokenizer_(tokenizer), source_(std::move(source)) {}

  // Appends to `text` what is certain now.
  void add(std::string_view block, std::string& text) {
    for (const char byte : block) {
      ++column_;
      if (byte == ' ' || byte == '\t') {
        end_id(text);
      } else if (byte == '\n') {
        end_id(text);
        text += '\n';
        previous_ = -1;
        column_ = 0;
        ++line_;
      } else {
        if (id_.size() < kLongestShown) id_ += byte;
        ++id_bytes_;
      }
    }
  }
  void finish(std::string& text) {
    ++column_;
    end_id(text);
  }

 private:
  static constexpr std::size_t kLongestShown = 40;

  void end_id(std::string& text) {
    if (id_bytes_ == 0) return;
    const auto id = id_bytes_ == id_.size() && id_[0] != '-' ? decimal_integer(id_) : std::nullopt;
    if (!id || *id >= tokenizer_.size()) {
      throw Error(ExitCode::kBadData,
                  "{}: line {}: column {}: not a token id (expected an integer from 0 to {}, found "
                  "{})",
                  source_, line_, column_ - id_bytes_, tokenizer_.size() - 1, quote(id_));
    }
    tokenizer_.decode(static_cast<int>(*id), previous_, text);
    previous_ = static_cast<int>(*id);
    id_.clear();
    id_bytes_ = 0;
  }

  const text::Tokenizer& tokenizer_;
  const std::string source_;
  std::string id_;
  std::uint64_t id_bytes_ = 0, line_ = 1, column_ = 0;
  int previous_ = -1;  // of the same line
};

ExitCode run_tokenizer_decode(const DecodeArguments& arguments, Output& out) {
  Output::check_open();
  const auto tokenizer = open_tokenizer(*arguments.tokenizer);
  const std::string file = arguments.file.value_or("-");
  LineDecoder lines(*tokenizer, file == "-" ? "standard input" : printable(file));
  const bool may_wait = !is_regular_input(file);
  std::string text;
  read_blocks(file, [&](std::string_view block) {
    text.clear();
    lines.add(block, text);
    out.write(text);
    if (may_wait) out.flush();  // whoever wrote the block may want the answer before the next
  });
  text.clear();
  lines.finish(text);
  out.write(text);
  return ExitCode::kDone;
}

}  // namespace

Action set_up_tokenizer_encode(CLI::App& command) {
  auto arguments = std::make_shared<EncodeArguments>();
  add_flag(command, "--ids", arguments->ids, "token ids, separated by spaces (the default)");
  add_flag(command, "--pieces", arguments->pieces, "what the tokens look like instead");
  add_option(command, "--invalid-utf8", arguments->invalid_utf8, enum_choices<text::InvalidUtf8>(),
             "what becomes of bytes that are not UTF-8");
  add_tokenizer(command, arguments->tokenizer);
  add_positional_list(command, "FILE", arguments->files,
                      "text; - or nothing is standard input. A line of tokens for each line, "
                      "without the </s> that ends it",
                      Presence::kOptional);
  return [arguments](Output& out) { return run_tokenizer_encode(*arguments, out); };
}

Action set_up_tokenizer_decode(CLI::App& command) {
  auto arguments = std::make_shared<DecodeArguments>();
  add_tokenizer(command, arguments->tokenizer);
  add_positional(command, "FILE", arguments->file,
                 "lines of token ids; - or nothing is standard input", Presence::kOptional);
  return [arguments](Output& out) { return run_tokenizer_decode(*arguments, out); };
}

}  // namespace sluice::cli
