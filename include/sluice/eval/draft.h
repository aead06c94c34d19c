#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sluice/base/fields.h"
#include "sluice/model/gated_conv_lm.h"
#include "sluice/model/sampler.h"
#include "sluice/text/permutation.h"
#include "sluice/text/stop_strings.h"
#include "sluice/text/text_stream.h"
#include "sluice/text/tokenizer.h"

namespace sluice::eval {

// What a text is written with, and when it ends. The parts must outlive whatever writes.
struct Writer {
  const model::GatedConvLm* model = nullptr;
  const text::Tokenizer* tokenizer = nullptr;
  const text::Permutation* permutation = nullptr;
  std::string source;      // of the model, for errors
  bool lines = false;      // a model of lines: </s> ends a text instead of being a newline
  Index max_tokens = 200;  // tokens to write
  std::vector<std::string> stop = {};  // the text ends before the first of these
};

// Model ids that a model is fed to go on from a prompt of tokenizer ids: first the </s> that all
// texts begin with. For a model of lines, which stand alone, a prompt is one line at most, without
// its end.
std::vector<int> opening_words(const Writer& writer, std::span<const int> prompt);

// Error kBadData when a distribution is not one: the run diverged.
void check_finite(const Writer& writer, std::span<const Real> log_probabilities);
// The same of what is known of one.
void check_finite(const Writer& writer, std::span<const model::WordPart> parts);

enum class FinishReason : std::uint8_t { kLength, kStop, kEnd };

// A continuation in the making: tokens in, text out. Characters appear whole; bytes that can never
// become one are U+FFFD. What a stop string may begin with is held back until it is known. A
// character left incomplete at the end is dropped.
class Draft {
 public:
  // previous: the last tokenizer id before it, -1 for the start of a text.
  Draft(const Writer& writer, int previous);

  // Adds a word (model id) with its log-probability; returns the text that is now certain. Not
  // after the end.
  std::string add(int word, double log_probability);

  const std::string& text() const { return text_; }
  Index tokens() const { return tokens_; }  // those of a stop string and a final </s> included
  double logprob_nats() const { return logprob_nats_; }
  // Ends the text where it stands, at somebody's wish: what was held back comes.
  std::string break_off();
  // Set once the text has ended by itself.
  std::optional<FinishReason> finished() const { return finished_; }

 private:
  const Writer* writer_;
  int previous_;
  text::TextStream characters_;
  text::StopStrings stop_;
  std::string text_;
  Index tokens_ = 0;
  double logprob_nats_ = 0;
  std::optional<FinishReason> finished_;
};

// A continuation.
struct Sample {
  std::string text;
  Index tokens = 0;
  double logprob_nats = 0;  // of these tokens, by the model's own distribution
  FinishReason finish = FinishReason::kLength;
  std::uint64_t seed = 0;
  double seconds = 0;
};
Sample sample_of(const Draft& draft);

}  // namespace sluice::eval

namespace sluice {

template <>
inline constexpr auto enum_names<eval::FinishReason> =
    std::array{std::pair{eval::FinishReason::kLength, std::string_view("length")},
               std::pair{eval::FinishReason::kStop, std::string_view("stop")},
               std::pair{eval::FinishReason::kEnd, std::string_view("end")}};

}  // namespace sluice
