#include "src/text/word_tokenizer.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/text/text_files.h"
#include "tests/text/tokenizer_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

TEST_CASE("WordTokenizer: words by descending count, ties by byte order", "[text]") {
  const auto tokenizer = train(kWord, {"the \xc3\xa9 the\tZ", "  a </s> <unk>\r"});
  CHECK(vocabulary(*tokenizer) ==
        std::vector<std::string>{"</s>", "<unk>", "the", "</s>", "<unk>", "Z", "a", "\xc3\xa9"});
  CHECK_FALSE(tokenizer->lossless());
  // Spelt like the marks, these are words like any other.
  const Encoding encoding = encoding_of(*tokenizer, " the  </s> <unk>\tnew ");
  CHECK(encoding.ids == Ids{2, 3, 4, 1});
  CHECK(encoding.oov == std::vector<bool>{false, false, false, true});
  CHECK(encoding.literal_unknowns == 0);
  CHECK(decoded(*tokenizer, {2, 5, 1, 0, 6, 3, 0, 0, 7}) == "the Z <unk>\na </s>\n\n\xc3\xa9");
  CHECK(decoded(*tokenizer, {}) == "");
  std::string continued;
  tokenizer->decode(6, 2, continued);
  CHECK(continued == " a");
}

TEST_CASE("WordTokenizer: unk_in_text makes a literal <unk> the unknown word", "[text]") {
  const auto tokenizer = train(kWord, {"a <unk> <unk> <unk> b a"}, true);
  CHECK(vocabulary(*tokenizer) == std::vector<std::string>{"</s>", "<unk>", "a", "b"});
  const Encoding encoding = encoding_of(*tokenizer, "<unk> a c <unk>");
  CHECK(encoding.ids == Ids{1, 2, 1, 1});
  CHECK(encoding.oov == std::vector<bool>{false, false, true, false});
  CHECK(encoding.literal_unknowns == 2);
  // Unseen in training and without the switch, it is a form outside the vocabulary.
  const Encoding plain = encoding_of(*train(kWord, {"a"}), "<unk>");
  CHECK(plain.oov == std::vector<bool>{true});
  CHECK(plain.literal_unknowns == 0);
}

TEST_CASE("WordTokenizer: min_count and vocab_size leave out the rare", "[text]") {
  TokenizerConfig config = kWord;
  config.min_count = 2;
  CHECK(vocabulary(*train(config, {"a b b c c c"})) ==
        std::vector<std::string>{"</s>", "<unk>", "c", "b"});
  config = kWord;
  config.vocab_size = 4;
  CHECK(vocabulary(*train(config, {"d a b b c c c"})) ==
        std::vector<std::string>{"</s>", "<unk>", "c", "b"});
}

TEST_CASE("WordTokenizer: WikiText-2 has its published number of tokens", "[text][corpora]") {
  const std::string folder = corpora_folder();
  if (folder.empty()) return;
  const std::string path = folder + "/wikitext-2/wiki.valid.tokens";
  const auto tokenizer = train_tokenizer({path}, {}, kWord, true);
  CHECK(tokenizer->size() == 13776 + 1);  // <unk> is one of the distinct words
  std::uint64_t tokens = 0, unknown = 0;
  const CorpusCounts counts = read_corpus({path}, [&](const LinePiece& piece) {
    const std::string_view line = piece.text;
    const Encoding encoding = encoding_of(*tokenizer, line);
    tokens += encoding.ids.size() + 1;
    unknown += encoding.literal_unknowns;
    CHECK(std::count(encoding.oov.begin(), encoding.oov.end(), true) == 0);
  });
  CHECK(tokens == 217646);
  CHECK(unknown > 0);
  CHECK(counts.words == 213886);
  CHECK(counts.lines == 3760);
  CHECK(counts.bytes == 1121681);
}
