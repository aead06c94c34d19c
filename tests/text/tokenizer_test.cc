#include "sluice/text/tokenizer.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "sluice/base/file.h"
#include "tests/text/hard_texts.h"
#include "tests/text/text_files.h"
#include "tests/text/tokenizer_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

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
  std::vector<std::string> texts = hard_texts();
  const std::vector<std::string> more = random_texts(2000);
  texts.insert(texts.end(), more.begin(), more.end());
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
  for (const std::string& text : malformed_texts()) CHECK(round_trip(*bytes, text) == text);
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
