#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/fields.h"
#include "sluice/base/real.h"

namespace sluice {
namespace text {

enum class TokenizerType { kByte, kChar, kWord };
enum class Mode { kStream };

}  // namespace text

template <>
inline constexpr auto enum_names<text::TokenizerType> =
    std::array{std::pair{text::TokenizerType::kByte, std::string_view("byte")},
               std::pair{text::TokenizerType::kChar, std::string_view("char")},
               std::pair{text::TokenizerType::kWord, std::string_view("word")}};
template <>
inline constexpr auto enum_names<text::Mode> =
    std::array{std::pair{text::Mode::kStream, std::string_view("stream")}};

namespace text {

// "data" in the config: which text, and how it is cut into samples.
struct DataConfig {
  std::vector<std::string> train;
  std::vector<std::string> valid;
  double valid_fraction = 0.05;  // last part of the training lines, when `valid` is empty
  Mode mode = Mode::kStream;
  Index tokens_per_sample = 256;
  Index batch_size = 32;  // sequences per micro-batch, over all ranks
  bool unk_in_text = false;
  std::optional<std::string> cache_dir;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("train", self.train, Range{}, "training text: files, in order");
    visit("valid", self.valid, Range{}, "validation text: files, in order");
    visit("valid_fraction", self.valid_fraction,
          Range{.min = 0, .max = 1, .above_min = true, .below_max = true},
          "without `valid`: this last part of the training lines validates");
    visit("mode", self.mode, Range{}, "stream: one running text, cut into windows");
    visit("tokens_per_sample", self.tokens_per_sample, Range{.min = 1, .max = 1 << 20},
          "T: targets in a window");
    visit("batch_size", self.batch_size, Range{.min = 1, .max = 1 << 20},
          "B: sequences in a micro-batch");
    visit("unk_in_text", self.unk_in_text, Range{},
          "word tokenizer: a literal <unk> in the text is the unknown word");
    visit("cache_dir", self.cache_dir, Range{},
          "where token files are kept; null: the user's cache directory");
  }
  bool operator==(const DataConfig&) const = default;
};

// "tokenizer" in the config.
struct TokenizerConfig {
  TokenizerType type = TokenizerType::kChar;
  std::optional<Index> vocab_size;  // null or "auto": no limit
  Index min_count = 1;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("type", self.type, Range{}, "what a token is");
    visit("vocab_size", self.vocab_size, Range{.min = 2, .max = 1 << 28},
          "char, word: keep the most frequent, </s> and <unk> included; \"auto\": no limit");
    visit("min_count", self.min_count, Range{.min = 1, .max = 1 << 28},
          "char, word: rarer forms are <unk>");
  }
  bool operator==(const TokenizerConfig&) const = default;
};

}  // namespace text
}  // namespace sluice
