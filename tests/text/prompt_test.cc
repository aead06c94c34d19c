#include "sluice/text/prompt.h"

#include <catch2/catch.hpp>

#include "tests/support/error_check.h"
#include "tests/text/tokenizer_cases.h"

namespace sluice::text {
namespace {

using testing::Ids;

std::unique_ptr<Tokenizer> tokenizer(TokenizerType type) {
  TokenizerConfig config;
  config.type = type;
  return testing::train(config, {"the fox", "ran"});
}

TEST_CASE("Prompt: lines are joined by </s>, and none is added at the end", "[text]") {
  const auto bytes = tokenizer(TokenizerType::kByte);
  CHECK(encode_prompt("", *bytes, "prompt").ids.empty());
  CHECK(encode_prompt("a\nb", *bytes, "prompt").ids == Ids{'a', bytes->end_of_line(), 'b'});
  CHECK(encode_prompt("a\n\n", *bytes, "prompt").ids ==
        Ids{'a', bytes->end_of_line(), bytes->end_of_line()});
}

TEST_CASE("Prompt: unknown words are counted, unknown characters refused", "[text]") {
  const auto words = tokenizer(TokenizerType::kWord);
  const Prompt prompt = encode_prompt("the cat ran\noff", *words, "prompt");
  CHECK(prompt.unknown == 2);
  CHECK(prompt.ids[1] == words->unknown());
  const auto characters = tokenizer(TokenizerType::kChar);
  CHECK(encode_prompt("the fox\nran", *characters, "prompt").unknown == 0);
  ::sluice::testing::check_error(ExitCode::kBadData,
                                 {"a: line 3: offset 5: unknown to the model (expected its 10 "
                                  "characters, found U+00F6 \"\u00f6\")"},
                                 [&] { encode_prompt("the\nf\u00f6x", *characters, "a: line 3"); });
  // What would not print as itself, and where the prompt is not all of its source.
  ::sluice::testing::check_error(ExitCode::kBadData, {"a: offset 6: ", "found U+000D \"\\r\")"},
                                 [&] { encode_prompt("the\r", *characters, "a", 3); });
}

TEST_CASE("Prompt: what is not UTF-8 is refused", "[text]") {
  const auto bytes = tokenizer(TokenizerType::kByte);
  ::sluice::testing::check_error(ExitCode::kBadData,
                                 {"prompt: offset 1: not UTF-8 (expected text, found 0xff)"},
                                 [&] { encode_prompt("a\xff", *bytes, "prompt"); });
}

}  // namespace
}  // namespace sluice::text
