#include "sluice/config/run_text.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "sluice/base/error.h"
#include "sluice/config/file_kind.h"
#include "sluice/model/cutoffs.h"

namespace sluice::config {

RunText prepare_text(const text::DataConfig& data, const text::TokenizerConfig& config,
                     std::optional<Vocabulary> known,
                     const std::function<void(const std::string&)>& note,
                     const std::function<void(std::uint64_t, std::uint64_t)>& progress,
                     text::Cache cache, ThreadPool* pool) {
  if (data.train.empty()) {
    throw Error(ExitCode::kUsage,
                "data.train: no training text (expected a file); try --train my.txt");
  }
  text::require_regular(data.train);
  text::require_regular(data.valid);
  text::LineRange train_lines, valid_lines;
  const bool split = data.valid.empty();
  const text::Corpus train(data.train, data.invalid_utf8), valid(data.valid, data.invalid_utf8);
  if (split) {
    const text::LineSplit lines = text::split_lines(train, data.valid_fraction);
    train_lines = lines.train;
    valid_lines = lines.valid;
    note(fmt::format(
        "no validation text: the last {:.3g} % of the lines ({} of {}) validate; "
        "--valid FILE takes another text",
        100 * data.valid_fraction, valid_lines.end - valid_lines.begin, valid_lines.end));
  }
  std::unique_ptr<text::Tokenizer> tokenizer =
      known         ? std::move(known->tokenizer)
      : config.file ? text::load_tokenizer(tokenizer_path(*config.file))
                    : text::train_tokenizer(train, train_lines, config, data.unk_in_text, note);
  const auto encode = [&](const text::Corpus& corpus, text::LineRange lines) {
    return text::tokenize(corpus, lines, *tokenizer, data.cache_dir.value_or(""), progress, cache,
                          pool);
  };
  text::TokenFile train_tokens = encode(train, train_lines);
  text::TokenFile valid_tokens = encode(split ? train : valid, valid_lines);
  text::Permutation permutation = known
                                      ? std::move(known->permutation)
                                      : text::Permutation::by_frequency(train_tokens.frequencies());
  return {std::move(tokenizer), std::move(train_tokens), std::move(valid_tokens),
          std::move(permutation)};
}

double unigram_loss(const RunText& text) {
  const std::vector<std::uint64_t> seen = text.train.frequencies();
  const std::vector<std::uint64_t> wanted = text.valid.frequencies();
  const double all = static_cast<double>(text.train.size() + seen.size());
  double nats = 0;
  for (std::size_t id = 0; id < seen.size(); ++id) {
    nats -= static_cast<double>(wanted[id]) * std::log(static_cast<double>(seen[id] + 1) / all);
  }
  return nats / static_cast<double>(text.valid.size());
}

void resolve_cutoffs(Config& config, const RunText& text,
                     const std::function<void(const std::string&)>& note) {
  model::OutputConfig& output = config.model.output;
  if (output.type != model::OutputType::kAdaptive || output.cutoffs) return;
  // In the order of model ids.
  std::vector<std::uint64_t> counts = text.train.frequencies();
  std::sort(counts.begin(), counts.end(), std::greater<>());
  const model::CutoffShape shape = {.width = model::output_width(config.model),
                                    .tail_div = output.tail_div};
  output.cutoffs = model::choose_cutoffs(shape, counts);
  const double whole = model::adaptive_cost(shape, counts, {});
  const double cost = model::adaptive_cost(shape, counts, *output.cutoffs);
  if (output.cutoffs->empty()) return;  // a softmax over all words costs least
  note(fmt::format(
      "cutoffs: {} of {} words, in the cost model {:.1f} times cheaper than a whole softmax; "
      "model.output.cutoffs sets others",
      fmt::join(*output.cutoffs, ", "), counts.size(), whole / cost));
}

}  // namespace sluice::config
