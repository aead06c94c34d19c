#include "sluice/eval/draft.h"

#include <catch2/catch.hpp>
#include <limits>

#include "tests/support/error_check.h"
#include "tests/support/tiny_writer.h"

namespace sluice::eval {
namespace {

using testing::TinyWriter;

// Adds the tokens of a text until it ends; the pieces that came out, each behind a bar.
std::string write(const TinyWriter& tiny, Draft& draft, const std::vector<int>& ids) {
  std::string pieces;
  for (const int id : ids) {
    if (draft.finished()) break;
    pieces += "|" + draft.add(tiny.permutation.to_model(id), -0.5);
  }
  return pieces;
}

TEST_CASE("Draft: a text ends with its last token", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.max_tokens = 3;
  Draft draft(tiny.writer, -1);
  CHECK(write(tiny, draft, tiny.ids("ab\ncc")) == "|a|b|\n");
  CHECK(draft.finished() == FinishReason::kLength);
  CHECK(draft.text() == "ab\n");
  CHECK(draft.tokens() == 3);
  CHECK(draft.logprob_nats() == -1.5);
  tiny.writer.max_tokens = 0;
  CHECK(Draft(tiny.writer, -1).finished() == FinishReason::kLength);
}

TEST_CASE("Draft: </s> ends a text of a model of lines", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.lines = true;
  Draft draft(tiny.writer, -1);
  CHECK(write(tiny, draft, tiny.ids("ab\nc")) == "|a|b|");
  CHECK(draft.finished() == FinishReason::kEnd);
  CHECK(draft.text() == "ab");
  CHECK(draft.tokens() == 3);
}

TEST_CASE("Draft: a stop string ends it over the borders of tokens, and is not shown", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.stop = {"bc\n", "aaa"};
  Draft draft(tiny.writer, -1);
  CHECK(write(tiny, draft, tiny.ids("abcbbc\nab")) == "||a||bc|b||");
  CHECK(draft.finished() == FinishReason::kStop);
  CHECK(draft.text() == "abcb");
  CHECK(draft.tokens() == 7);
}

TEST_CASE("Draft: what was held back comes when the text ends without the stop string", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.stop = {"bcb"};
  tiny.writer.max_tokens = 3;
  Draft by_length(tiny.writer, -1);
  CHECK(write(tiny, by_length, tiny.ids("abc")) == "|a||bc");
  CHECK(by_length.text() == "abc");
  tiny.writer.lines = true;
  Draft by_end(tiny.writer, -1);
  CHECK(write(tiny, by_end, tiny.ids("b\n")) == "||b");
}

TEST_CASE("Draft: characters of several bytes appear whole, broken ones as U+FFFD", "[eval]") {
  TinyWriter tiny("", 1, text::TokenizerType::kByte);
  Draft draft(tiny.writer, -1);
  CHECK(write(tiny, draft, {0xC3, 0xA9, 'a', 0xE2, 0x82, 0xAC, 0xE2, 0x82, 'b', 0xFF}) ==
        "||\u00e9|a|||\u20ac|||\uFFFD\uFFFDb|\uFFFD");
  // Cut off in the middle: left out.
  tiny.writer.max_tokens = 3;
  Draft cut(tiny.writer, -1);
  CHECK(write(tiny, cut, {'a', 0xE2, 0x82}) == "|a||");
  CHECK(cut.text() == "a");
  CHECK(cut.tokens() == 3);
  // A stop string of a character whose bytes are tokens.
  tiny.writer.max_tokens = 9;
  tiny.writer.stop = {"\u20ac"};
  Draft stopped(tiny.writer, -1);
  CHECK(write(tiny, stopped, {'a', 0xE2, 0x82, 0xAC, 'b'}) == "|a|||");
  CHECK(stopped.finished() == FinishReason::kStop);
}

TEST_CASE("Draft: what was held back comes when somebody breaks the text off", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.stop = {"bcb"};
  Draft draft(tiny.writer, -1);
  CHECK(write(tiny, draft, tiny.ids("abc")) == "|a||");
  CHECK(draft.break_off() == "bc");
  CHECK(draft.text() == "abc");
}

TEST_CASE("opening_words: </s>, then the prompt", "[eval]") {
  TinyWriter tiny("abc");
  const auto words = [&](const std::string& text) {
    std::vector<int> model_ids;
    for (const int id : tiny.ids(text)) model_ids.push_back(tiny.permutation.to_model(id));
    return model_ids;
  };
  CHECK(opening_words(tiny.writer, tiny.ids("ab\nc")) == words("\nab\nc"));
  CHECK(opening_words(tiny.writer, {}) == words("\n"));
  tiny.writer.lines = true;
  CHECK(opening_words(tiny.writer, tiny.ids("ab")) == words("\nab"));
}

TEST_CASE("check_finite: a diverged model is named", "[eval]") {
  const TinyWriter tiny("abc");
  const Real infinity = std::numeric_limits<Real>::infinity();
  check_finite(tiny.writer, std::vector<Real>{-infinity, -1});
  const auto diverged = [&](const std::vector<Real>& log_probabilities) {
    testing::check_error(ExitCode::kBadData, {"model: ", "diverged"},
                         [&] { check_finite(tiny.writer, log_probabilities); });
  };
  diverged(std::vector<Real>(3, -infinity));
  // One is enough, wherever it is: an adaptive softmax may be broken in one of its tails.
  const Real nan = std::numeric_limits<Real>::quiet_NaN();
  diverged({-1, nan});
  for (std::size_t i = 0; i < 77; ++i) {
    std::vector<Real> log_probabilities(77, -1);
    log_probabilities[(i + 5) % 77] = -infinity;
    check_finite(tiny.writer, log_probabilities);
    log_probabilities[i] = nan;
    diverged(log_probabilities);
  }
}

}  // namespace
}  // namespace sluice::eval
