#include "src/text/char_tokenizer.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/text/text_files.h"
#include "tests/text/tokenizer_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

TEST_CASE("CharTokenizer: code points by descending count, ties by code point", "[text]") {
  const auto tokenizer = train(kChar, {"b\xc3\xa9 ab\x1b", "b\xf0\x9f\x98\x80"});
  CHECK(vocabulary(*tokenizer) == std::vector<std::string>{"</s>", "<unk>", "b", "\\u{1b}",
                                                           "U+0020", "a", "\xc3\xa9",
                                                           "\xf0\x9f\x98\x80"});
  CHECK(tokenizer->end_of_line() == 0);
  CHECK(tokenizer->unknown() == 1);
  const Encoding encoding = encoding_of(*tokenizer,
                                        "a\xe2\x82\xac"
                                        "b");
  CHECK(encoding.ids == Ids{5, 1, 2});
  CHECK(encoding.oov == std::vector<bool>{false, true, false});
  CHECK(encoding.literal_unknowns == 0);
  CHECK(decoded(*tokenizer, {5, 1, 0, 2, 7}) == "a<unk>\nb\xf0\x9f\x98\x80");
}

TEST_CASE("CharTokenizer: min_count and vocab_size leave out the rare", "[text]") {
  TokenizerConfig config = kChar;
  config.min_count = 2;
  CHECK(vocabulary(*train(config, {"aabbbc"})) ==
        std::vector<std::string>{"</s>", "<unk>", "b", "a"});
  config.vocab_size = 3;
  const auto tokenizer = train(config, {"aabbbc"});
  CHECK(vocabulary(*tokenizer) == std::vector<std::string>{"</s>", "<unk>", "b"});
  CHECK(encoding_of(*tokenizer, "abc").ids == Ids{1, 2, 1});
}
