#include "sluice/config/run_text.h"

#include <fmt/format.h>

#include "sluice/base/error.h"

namespace sluice::config {

RunText prepare_text(const text::DataConfig& data, const text::TokenizerConfig& config,
                     std::unique_ptr<text::Tokenizer> tokenizer,
                     const std::function<void(const std::string&)>& note,
                     const std::function<void(std::uint64_t, std::uint64_t)>& progress,
                     text::Cache cache) {
  if (data.train.empty()) {
    throw Error(ExitCode::kUsage,
                "data.train: no training text (expected a file); try --train my.txt");
  }
  text::LineRange train_lines, valid_lines;
  const bool split = data.valid.empty();
  if (split) {
    const text::LineSplit lines = text::split_lines(data.train, data.valid_fraction);
    train_lines = lines.train;
    valid_lines = lines.valid;
    note(fmt::format(
        "no validation text: the last {:.3g} % of the lines ({} of {}) validate; "
        "--valid FILE takes another text",
        100 * data.valid_fraction, valid_lines.end - valid_lines.begin, valid_lines.end));
  }
  if (tokenizer == nullptr) {
    tokenizer = text::train_tokenizer(data.train, train_lines, config, data.unk_in_text);
  }
  const auto encode = [&](const std::vector<std::string>& files, text::LineRange lines) {
    return text::tokenize(files, lines, *tokenizer, data.cache_dir.value_or(""), progress, cache);
  };
  text::TokenFile train = encode(data.train, train_lines);
  text::TokenFile valid = encode(split ? data.train : data.valid, valid_lines);
  text::Permutation permutation = text::Permutation::by_frequency(train.frequencies());
  return {std::move(tokenizer), std::move(train), std::move(valid), std::move(permutation)};
}

}  // namespace sluice::config
