#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/text/text_config.h"

// What the tokenizers with a trained vocabulary share: which forms get an id, and the text form in
// which a tokenizer is stored.
namespace sluice::text {

inline constexpr int kEndOfLine = 0, kUnknown = 1, kFirstForm = 2;
inline constexpr std::string_view kEndOfLineName = "</s>", kUnknownName = "<unk>";
inline constexpr std::uint64_t kMaxVocabulary = std::uint64_t{1} << 28;

// Error kBadData: training left `forms` ("words", "characters") without a single entry.
[[noreturn]] void throw_empty_vocabulary(std::string_view forms, std::size_t distinct,
                                         const TokenizerConfig& config);

// The forms to keep, most frequent first, ties by the form itself.
template <class Form>
std::vector<Form> select_forms(std::vector<std::pair<Form, std::uint64_t>> counted,
                               const TokenizerConfig& config, std::string_view forms) {
  const std::size_t distinct = counted.size();
  std::erase_if(counted, [&config](const auto& entry) {
    return entry.second < static_cast<std::uint64_t>(config.min_count);
  });
  std::sort(counted.begin(), counted.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  std::size_t limit = kMaxVocabulary - kFirstForm;
  if (config.vocab_size) {
    limit = std::min(limit, static_cast<std::size_t>(*config.vocab_size) - kFirstForm);
  }
  if (counted.size() > limit) counted.resize(limit);
  if (counted.empty()) throw_empty_vocabulary(forms, distinct, config);
  std::vector<Form> kept;
  kept.reserve(counted.size());
  for (auto& entry : counted) kept.push_back(std::move(entry.first));
  return kept;
}

// Reads a stored tokenizer line by line. Every complaint is Error kBadData "SOURCE: offset N: ...".
class StoredLines {
 public:
  StoredLines(std::string_view bytes, const std::string& source);

  // The next line without its LF; each, the last too, must end in one.
  std::string_view next(std::string_view expected);
  // "NAME VALUE" with 1 <= VALUE <= kMaxVocabulary in plain decimal digits.
  std::uint64_t next_number(std::string_view name);
  // All that is left, which need not be lines.
  std::string_view rest();
  void expect_end();
  std::size_t bytes_left() const { return bytes_.size() - offset_; }
  // Complains about the line read last.
  [[noreturn]] void fail(std::string_view what) const;
  [[noreturn]] void fail(std::string_view expected, std::string_view found) const;

 private:
  std::string_view bytes_;
  std::string source_;
  std::size_t offset_ = 0, line_start_ = 0;
};

}  // namespace sluice::text
