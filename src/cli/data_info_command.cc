#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "sluice/base/file.h"
#include "sluice/config/file_kind.h"
#include "sluice/text/survey.h"
#include "sluice/text/token_file.h"
#include "src/cli/commands.h"
#include "src/cli/file_table.h"
#include "src/cli/logging.h"
#include "src/cli/model_arguments.h"
#include "src/cli/options.h"
#include "src/cli/output.h"
#include "src/cli/text_arguments.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;

struct DataInfoArguments {
  std::vector<std::string> files;
  std::optional<std::string> invalid_utf8, tokenizer;
  bool json = false;
  Verbosity verbosity;
};

struct FileFacts {
  text::FileTokens sums;
  std::uint64_t longest_line = 0, characters = 0;
};

// Looks at the pieces of a corpus in their order.
class Inspector {
 public:
  Inspector(std::size_t files, const text::Tokenizer* tokenizer)
      : files_(files), tokenizer_(tokenizer) {}

  void add(const text::LinePiece& piece) {
    while (file_ < piece.file) end_file();
    characters_.add(piece.text);
    line_ = (piece.begins ? 0 : line_) + piece.text.size();
    files_[file_].longest_line = std::max(files_[file_].longest_line, line_);
    if (tokenizer_ == nullptr) return;
    encoding_.clear();
    tokenizer_->encode_piece(piece.text, piece.begins, encoding_);
    text::FileTokens& sums = files_[file_].sums;
    sums.tokens += encoding_.ids.size() + (piece.ends ? 1 : 0);
    sums.oov +=
        static_cast<std::uint64_t>(std::count(encoding_.oov.begin(), encoding_.oov.end(), true));
    sums.literal_unknowns += encoding_.literal_unknowns;
  }

  // The files, then all together.
  std::vector<FileFacts> finish(const std::vector<text::CorpusCounts>& counts) {
    while (file_ < files_.size()) end_file();
    FileFacts total;
    total.characters = all_characters_.size();
    for (std::size_t i = 0; i < files_.size(); ++i) {
      files_[i].sums.counts = counts[i];
      total.sums += files_[i].sums;
      total.longest_line = std::max(total.longest_line, files_[i].longest_line);
    }
    files_.push_back(total);
    return std::move(files_);
  }

 private:
  void end_file() {
    files_[file_++].characters = characters_.size();
    all_characters_.add(characters_);
    characters_ = {};
  }

  std::vector<FileFacts> files_;
  const text::Tokenizer* tokenizer_;
  std::size_t file_ = 0;
  std::uint64_t line_ = 0;  // bytes of the line so far
  text::CharacterSet characters_, all_characters_;
  text::Encoding encoding_;
};

FileRow row(const std::string& name, const FileFacts& facts, bool with_tokens) {
  const text::CorpusCounts& counts = facts.sums.counts;
  FileRow found = {name,
                   {{"bytes", counts.bytes},
                    {"chars", counts.chars},
                    {"lines", counts.lines},
                    {"words", counts.words},
                    {"longest_line", facts.longest_line},
                    {"distinct_chars", facts.characters},
                    {"malformed", counts.malformed + counts.replaced},
                    {"bom", counts.byte_order_marks}}};
  if (!with_tokens) return found;
  const double chars = static_cast<double>(std::max<std::uint64_t>(1, counts.chars));
  found.figures.insert(found.figures.end(),
                       {{"tokens", facts.sums.tokens},
                        {"oov", facts.sums.oov},
                        {"unk_literal", facts.sums.literal_unknowns},
                        {"tokens_per_char", static_cast<double>(facts.sums.tokens) / chars}});
  return found;
}

ExitCode run_data_info(const DataInfoArguments& arguments, Output& out) {
  const text::Corpus corpus(
      text::expand_files(arguments.files),
      parse_invalid_utf8(arguments.invalid_utf8).value_or(text::InvalidUtf8::kError));
  const bool with_bar = wants_bar(arguments.verbosity);
  train::ProgressBar bar(with_bar);
  start_logging(arguments.verbosity, bar);
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (arguments.tokenizer) {
    tokenizer = text::load_tokenizer(config::tokenizer_path(*arguments.tokenizer));
    text::check_carries_bytes(*tokenizer, corpus.invalid_utf8, "--invalid-utf8");
  }
  Inspector inspector(corpus.files.size(), tokenizer.get());
  std::vector<text::CorpusCounts> counts;
  std::uint64_t hash = 0;
  text::read_corpus(
      corpus,
      [&](const text::LinePiece& piece) {
        inspector.add(piece);
        if (!with_bar) return;
        bar.show(0, fmt::format("{}B read", train::format_count(static_cast<double>(piece.read))));
      },
      &hash, &counts);
  bar.clear();
  const std::vector<FileFacts> facts = inspector.finish(counts);
  std::vector<FileRow> rows;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    rows.push_back(
        row(i < corpus.files.size() ? corpus.files[i] : "total", facts[i], tokenizer != nullptr));
  }
  if (!arguments.json) {
    out.write(file_table(rows));
    return ExitCode::kDone;
  }
  const Json total = figures_json<Json>(rows.back());
  rows.pop_back();
  const Json all = {
      {"files", rows_json<Json>(rows)}, {"total", total}, {"data_hash", to_hex(hash)}};
  out.write(all.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  return ExitCode::kDone;
}

}  // namespace

Action set_up_data_info(CLI::App& command) {
  auto arguments = std::make_shared<DataInfoArguments>();
  add_invalid_utf8(command, arguments->invalid_utf8, "error");
  add_option(command, "--tokenizer", arguments->tokenizer, "T",
             "a tokenizer, model or run: counts its tokens, too");
  add_flag(command, "--json", arguments->json, "one JSON object instead of a table");
  add_verbosity(command, arguments->verbosity);
  add_positional_list(command, "FILE", arguments->files,
                      "text; - is standard input; .gz and patterns too", Presence::kRequired);
  return [arguments](Output& out) { return run_data_info(*arguments, out); };
}

}  // namespace sluice::cli
