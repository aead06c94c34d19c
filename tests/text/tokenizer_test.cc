#include "sluice/text/tokenizer.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "sluice/base/file.h"
#include "sluice/text/utf8.h"
#include "tests/text/text_files.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

using Ids = std::vector<int>;

std::unique_ptr<Tokenizer> train(TokenizerConfig config, const std::vector<std::string>& lines,
                                 bool unk_in_text = false) {
  const auto trainer = make_tokenizer_trainer(config, unk_in_text);
  for (const std::string& line : lines) trainer->add_line(line);
  return trainer->finish();
}

Encoding encoding_of(const Tokenizer& tokenizer, std::string_view line) {
  Encoding encoding;
  tokenizer.encode(line, encoding);
  REQUIRE(encoding.ids.size() == encoding.oov.size());
  return encoding;
}

std::string decoded(const Tokenizer& tokenizer, const Ids& ids) {
  std::string text;
  int previous = -1;
  for (const int id : ids) {
    tokenizer.decode(id, previous, text);
    previous = id;
  }
  return text;
}

// The text encoded line by line, </s> after each, and decoded again.
std::string round_trip(const Tokenizer& tokenizer, const std::string& text) {
  Ids ids;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const Ids line = encoding_of(tokenizer, std::string_view(text).substr(begin, end - begin)).ids;
    ids.insert(ids.end(), line.begin(), line.end());
    if (end < text.size()) ids.push_back(tokenizer.end_of_line());
    begin = end + 1;
  }
  return decoded(tokenizer, ids);
}

std::vector<std::string> vocabulary(const Tokenizer& tokenizer) {
  std::vector<std::string> names;
  for (int id = 0; id < tokenizer.size(); ++id) names.push_back(tokenizer.describe(id));
  return names;
}

TokenizerConfig config_of(TokenizerType type) {
  TokenizerConfig config;
  config.type = type;
  return config;
}

const TokenizerConfig kByte = config_of(TokenizerType::kByte);
const TokenizerConfig kChar = config_of(TokenizerType::kChar);
const TokenizerConfig kWord = config_of(TokenizerType::kWord);

}  // namespace

TEST_CASE("ByteTokenizer: ids are the values of the bytes", "[text]") {
  const auto tokenizer = train(kByte, {});
  CHECK(tokenizer->size() == 256);
  CHECK(tokenizer->end_of_line() == 10);
  CHECK(tokenizer->unknown() == -1);
  CHECK(tokenizer->lossless());
  const Encoding encoding = encoding_of(*tokenizer, "A\xc3\xa9");
  CHECK(encoding.ids == Ids{0x41, 0xc3, 0xa9});
  CHECK(encoding.oov == std::vector<bool>(3));
  CHECK(decoded(*tokenizer, {0x41, 10, 0xff}) == "A\n\xff");
  CHECK(tokenizer->describe(0x41) == "0x41");
  CHECK(tokenizer->describe(10) == "</s>");
}

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

TEST_CASE("Tokenizer: a vocabulary of nothing is refused", "[text]") {
  check_error(ExitCode::kBadData, {"words"}, [] { train(kWord, {"", "  \t"}); });
  check_error(ExitCode::kBadData, {"words"}, [] { train(kWord, {"<unk> <unk>"}, true); });
  check_error(ExitCode::kBadData, {"characters"}, [] { train(kChar, {}); });
  TokenizerConfig config = kWord;
  config.min_count = 3;
  check_error(ExitCode::kBadData, {"min_count", "3 times"}, [&] { train(config, {"a a b"}); });
  config = kChar;
  config.vocab_size = 2;
  check_error(ExitCode::kBadData, {"vocab_size"}, [&] { train(config, {"a a b"}); });
}

TEST_CASE("Tokenizer: training takes the lines of the range", "[text]") {
  const ScratchFolder folder;
  const auto first = folder.write("first", "zero\none\n");
  const auto second = folder.write("second", "two\nthree\n");
  CHECK(vocabulary(*train_tokenizer({first, second}, {1, 3}, kWord, false)) ==
        std::vector<std::string>{"</s>", "<unk>", "one", "two"});
  check_error(ExitCode::kBadData, {first}, [&] {
    train_tokenizer({first, second}, {4, 9}, kWord, false);
  });
  check_error(ExitCode::kNoInput, {"standard input"},
              [&] { train_tokenizer({"-"}, {}, kWord, false); });
}

TEST_CASE("Tokenizer: stored and restored, it is the same", "[text]") {
  const std::vector<std::string> lines = {"b a\xc3\xa9 </s> <unk>",
                                          "\x1b\xf4\x8f\xbf\xbf b \xe2\x80\xa8"};
  for (const TokenizerConfig& config : {kByte, kChar, kWord}) {
    for (const bool unk_in_text : {false, true}) {
      const auto tokenizer = train(config, lines, unk_in_text);
      const std::string stored = tokenizer->serialise();
      const auto restored = restore_tokenizer(stored, "m");
      CHECK(restored->type() == config.type);
      CHECK(restored->serialise() == stored);
      CHECK(restored->hash() == tokenizer->hash());
      CHECK(tokenizer->hash() == checksum(stored));
      CHECK(vocabulary(*restored) == vocabulary(*tokenizer));
      for (const std::string line : {"b a <unk> \xc3\xa9 new", "", "</s>"}) {
        const Encoding expected = encoding_of(*tokenizer, line);
        const Encoding found = encoding_of(*restored, line);
        CHECK(found.ids == expected.ids);
        CHECK(found.oov == expected.oov);
        CHECK(found.literal_unknowns == expected.literal_unknowns);
      }
    }
  }
}

TEST_CASE("Tokenizer: the stored forms are frozen", "[text]") {
  CHECK(train(kByte, {})->serialise() == "sluice tokenizer byte 1\n");
  CHECK(train(kChar, {"a\xf0\x9f\x98\x80"})->serialise() ==
        "sluice tokenizer char 1\nentries 2\n61\n1F600\n");
  CHECK(train(kWord, {"a \xc3\xa9"}, true)->serialise() ==
        "sluice tokenizer word 1\nunk_in_text true\nentries 2\na\n\xc3\xa9\n");
}

TEST_CASE("Tokenizer: malformed bytes are refused, naming the source", "[text]") {
  const std::string chars = "sluice tokenizer char 1\n";
  const std::string words = "sluice tokenizer word 1\nunk_in_text false\n";
  const std::vector<std::string> bad = {
      "",
      "\n",
      "sluice tokenizer char 1",
      "sluice tokenizer char 2\nentries 1\n61\n",
      "sluice tokenizer bpe 1\n",
      " sluice tokenizer byte 1\n",
      "sluice tokenizer byte 1\r\n",
      "sluice tokenizer byte 1\n\n",
      "sluice tokenizer byte 1\nx",
      std::string(1 << 20, 'x'),
      chars,
      chars + "entries 0\n",
      chars + "entries 2\n61\n",
      chars + "entries 1\n61\n62\n",
      chars + "entries 1\n61",
      chars + "entries 1\n61\n\n",
      chars + "entries 2\n61\n61\n",
      chars + "entries 1\n\n",
      chars + "entries 1\n061\n",
      chars + "entries 1\n6x\n",
      chars + "entries 1\n4a\n",
      chars + "entries 1\nA\n",
      chars + "entries 1\nD800\n",
      chars + "entries 1\n110000\n",
      chars + "entries 1\n100000061\n",
      chars + "entries 1\n 61\n",
      chars + "entries +1\n61\n",
      chars + "entries 01\n61\n",
      chars + "entries  1\n61\n",
      chars + "entries \n61\n",
      chars + "entries 1 \n61\n",
      chars + "entries -1\n61\n",
      chars + "entries 18446744073709551617\n61\n",
      chars + "entries 268435456\n61\n",
      chars + "entries 999999999\n61\n",
      chars + "61\n",
      words,
      words + "entries 1\n",
      words + "entries 1\n\n",
      words + "entries 1\na b\n",
      words + "entries 1\na\r\n",
      words + "entries 1\n\xff\n",
      words + "entries 1\n\xed\xa0\x80\n",
      words + "entries 1\na",
      words + "entries 2\na\na\n",
      words + "entries 2\na\n",
      words + "entries 1\na\nb\n",
      "sluice tokenizer word 1\nentries 1\na\n",
      "sluice tokenizer word 1\nunk_in_text yes\nentries 1\na\n",
      "sluice tokenizer word 1\nunk_in_text true\nentries 1\n<unk>\n",
      "sluice tokenizer word 1\nunk_in_text \x1b[31m\nentries 1\na\n"};
  for (const std::string& bytes : bad) {
    CAPTURE(bytes.substr(0, 80));
    check_error(ExitCode::kBadData, {"model.safetensors: offset ", "malformed"},
                [&] { restore_tokenizer(bytes, "model.safetensors"); });
  }
  check_error(ExitCode::kBadData, {"m: offset 37:", "twice"},
              [&] { restore_tokenizer(chars + "entries 2\n61\n61\n", "m"); });
  check_error(ExitCode::kBadData, {"entries\\u{1b}[31m"},
              [&] { restore_tokenizer(chars + "entries\x1b[31m\n", "m"); });
}

TEST_CASE("Tokenizer: no damage to stored bytes passes unseen or crashes", "[text]") {
  for (const TokenizerConfig& config : {kByte, kChar, kWord}) {
    const std::string stored = train(config, {"some words, caf\xc3\xa9", "some more"})->serialise();
    for (std::size_t i = 0; i < stored.size(); ++i) {
      CHECK_THROWS_AS(restore_tokenizer(stored.substr(0, i), "m"), Error);
      for (int bit = 0; bit < 8; ++bit) {
        std::string damaged = stored;
        damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
        // Where it is another valid vocabulary, its hash tells.
        std::uint64_t hash = 0;
        try {
          hash = restore_tokenizer(damaged, "m")->hash();
        } catch (const Error& error) {
          CHECK(error.code() == ExitCode::kBadData);
        }
        CHECK(hash != checksum(stored));
      }
    }
  }
}

TEST_CASE("Tokenizer: bytes and characters give every text back", "[text]") {
  std::vector<std::string> texts = {"\r\n",
                                    "a\rb",
                                    std::string("a\0b\n\0", 5),
                                    "\t",
                                    "\v\f",
                                    "\xc2\x85",
                                    "\xe2\x80\xa8",
                                    "\xc2\xa0",
                                    "\xe2\x80\x8b",
                                    "e\xcc\x81",
                                    "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",
                                    "\xe2\x80\x8f\xd7\x90",
                                    "\xef\xbf\xbd",
                                    "\xe2\x96\x81",
                                    "\xe2\x96\x85",
                                    "\xf4\x8f\xbf\xbf",
                                    "\xee\x80\x80",
                                    "a  b",
                                    " a",
                                    "a ",
                                    "no end",
                                    "x",
                                    "<s>",
                                    "</s>",
                                    "<unk>",
                                    "<0x41>",
                                    "\n",
                                    "\n\n",
                                    "\xef\xbb\xbf"
                                    "a\xef\xbb\xbf",
                                    std::string(200000, 'a'),
                                    std::string(10000, '\n')};
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (auto length = random() % 50; length > 0; --length) {
      // All four lengths of sequences, and line ends.
      const char32_t below[] = {0x80, 0x800, 0xd800, 0x110000, 12};
      const char32_t c = static_cast<char32_t>(random()) % below[random() % 5];
      append_utf8(c >= 0xd800 && c < 0xe000 ? U'\n' : c, text);
    }
    texts.push_back(text);
  }
  const auto bytes = train(kByte, {});
  const auto trainer = make_tokenizer_trainer(kChar, false);
  for (std::string flat : texts) {
    std::erase(flat, '\n');
    trainer->add_line(flat);
  }
  const auto chars = trainer->finish();
  CHECK(chars->lossless());
  for (const std::string& text : texts) {
    CHECK(round_trip(*bytes, text) == text);
    CHECK(round_trip(*chars, text) == text);
  }
}

TEST_CASE("Tokenizer: whole corpora survive bytes and characters", "[text][corpora]") {
  const std::string folder = corpora_folder();
  if (folder.empty()) return;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/multilingual")) {
    if (entry.path().extension() != ".txt") continue;
    const std::string path = entry.path().string(), text = content_of(path);
    CAPTURE(path);
    CHECK(round_trip(*train(kByte, {}), text) == text);
    CHECK(round_trip(*train_tokenizer({path}, {}, kChar, false), text) == text);
    ++files;
  }
  CHECK(files > 0);
}

TEST_CASE("WordTokenizer: WikiText-2 has its published number of tokens", "[text][corpora]") {
  const std::string folder = corpora_folder();
  if (folder.empty()) return;
  const std::string path = folder + "/wikitext-2/wiki.valid.tokens";
  const auto tokenizer = train_tokenizer({path}, {}, kWord, true);
  CHECK(tokenizer->size() == 13776 + 1);  // <unk> is one of the distinct words
  std::uint64_t tokens = 0, unknown = 0;
  const CorpusCounts counts = read_corpus({path}, [&](std::string_view line) {
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
