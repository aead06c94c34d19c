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

enum class TokenizerType { kByte, kChar, kWord, kSentencePiece };
// How SentencePiece finds its pieces: Kudo 2018 (unigram), Sennrich et al. 2016 (bpe), or single
// characters.
enum class Algorithm { kUnigram, kBpe, kChar };
enum class Mode { kStream, kLines };
// What becomes of bytes that are not UTF-8: an Error, U+FFFD for each, or tokens of their own.
enum class InvalidUtf8 { kError, kReplace, kBytes };

}  // namespace text

template <>
inline constexpr auto enum_names<text::TokenizerType> =
    std::array{std::pair{text::TokenizerType::kByte, std::string_view("byte")},
               std::pair{text::TokenizerType::kChar, std::string_view("char")},
               std::pair{text::TokenizerType::kWord, std::string_view("word")},
               std::pair{text::TokenizerType::kSentencePiece, std::string_view("sentencepiece")}};
template <>
inline constexpr auto enum_names<text::Algorithm> =
    std::array{std::pair{text::Algorithm::kUnigram, std::string_view("unigram")},
               std::pair{text::Algorithm::kBpe, std::string_view("bpe")},
               std::pair{text::Algorithm::kChar, std::string_view("char")}};
template <>
inline constexpr auto enum_names<text::Mode> =
    std::array{std::pair{text::Mode::kStream, std::string_view("stream")},
               std::pair{text::Mode::kLines, std::string_view("lines")}};
template <>
inline constexpr auto enum_names<text::InvalidUtf8> =
    std::array{std::pair{text::InvalidUtf8::kError, std::string_view("error")},
               std::pair{text::InvalidUtf8::kReplace, std::string_view("replace")},
               std::pair{text::InvalidUtf8::kBytes, std::string_view("bytes")}};

namespace text {

// "data" in the config: which text, and how it is cut into samples.
struct DataConfig {
  std::vector<std::string> train;
  std::vector<std::string> valid;
  double valid_fraction = 0.05;  // last part of the training lines, when `valid` is empty
  Mode mode = Mode::kStream;
  Index tokens_per_sample = 256;
  Index batch_size = 32;  // sequences per micro-batch, over all ranks
  Index context_tokens = 0;
  bool carry_context = false;
  bool unk_in_text = false;
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kError;
  std::optional<std::string> cache_dir;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("train", self.train, Range{}, "training text: files, in order");
    visit("valid", self.valid, Range{}, "validation text: files, in order");
    visit("valid_fraction", self.valid_fraction,
          Range{.min = 0, .max = 1, .above_min = true, .below_max = true},
          "without `valid`: this last part of the training lines validates");
    visit("mode", self.mode, Range{},
          "stream: one running text, cut into windows; lines: each line for itself");
    visit("tokens_per_sample", self.tokens_per_sample, Range{.min = 1, .max = 1 << 20},
          "T: targets in a window; lines: longer ones come in pieces of T");
    visit("batch_size", self.batch_size, Range{.min = 1, .max = 1 << 20},
          "B: sequences in a micro-batch; lines: as many as take the memory of B of T tokens");
    visit("context_tokens", self.context_tokens, Range{.min = 0, .max = 1 << 20},
          "stream: tokens in front of a window's T that are read but not scored");
    visit("carry_context", self.carry_context, Range{},
          "stream: B streams side by side, each window going on from the hidden layers' context of "
          "the one before, without gradient");
    visit("unk_in_text", self.unk_in_text, Range{},
          "word tokenizer: a literal <unk> in the text is the unknown word");
    visit("invalid_utf8", self.invalid_utf8, Range{},
          "bytes that are not UTF-8: error; replace: U+FFFD for each; bytes: tokens of their own");
    visit("cache_dir", self.cache_dir, Range{},
          "where token files are kept; null: the user's cache directory");
  }
  // Positions that a sample takes in memory, at most.
  Index positions_per_sample() const { return context_tokens + tokens_per_sample; }
  bool operator==(const DataConfig&) const = default;
};

// "tokenizer" in the config.
struct TokenizerConfig {
  TokenizerType type = TokenizerType::kSentencePiece;
  Algorithm algorithm = Algorithm::kUnigram;
  std::optional<Index> vocab_size;  // null or "auto": sentencepiece: by the text; others: no limit
  Index min_count = 1;
  std::optional<std::string> file;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("type", self.type, Range{}, "what a token is");
    visit("algorithm", self.algorithm, Range{}, "sentencepiece: how pieces are found");
    visit("vocab_size", self.vocab_size, Range{.min = 2, .max = 1 << 28},
          "sentencepiece: pieces, 300 or more; \"auto\": by the size of the text; char, word: keep "
          "the most frequent, </s> and <unk> included; \"auto\": no limit");
    visit("min_count", self.min_count, Range{.min = 1, .max = 1 << 28},
          "char, word: rarer forms are <unk>");
    visit("file", self.file, Range{},
          "an existing tokenizer instead of one trained on the text: a SentencePiece .model, what "
          "`sluice tokenizer train` wrote, or a Sluice model or run");
  }
  bool operator==(const TokenizerConfig&) const = default;
};

}  // namespace text
}  // namespace sluice
