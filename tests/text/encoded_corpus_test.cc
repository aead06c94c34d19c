#include "src/text/encoded_corpus.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "sluice/base/file.h"
#include "sluice/text/token_file.h"
#include "tests/text/sentencepiece_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

std::vector<int> encoded_ids(const ScratchFolder& folder, const std::string& text,
                             const Tokenizer& tokenizer, TokenFileHeader* header = nullptr) {
  EncodedCorpus corpus(tokenizer, {}, folder.path(""));
  corpus.encode({folder.write("text", text)}, nullptr);
  corpus.write(formats::SafetensorsWriter(folder.path("tokens"), to_metadata(corpus.header())));
  if (header != nullptr) *header = corpus.header();
  const TokenFile file(folder.path("tokens"));
  std::vector<int> ids(file.size());
  file.read(0, ids);
  return ids;
}

}  // namespace

TEST_CASE("EncodedCorpus: knows at the end what the text held", "[text]") {
  const ScratchFolder folder;
  const auto tokenizer = train(kWord, {"a b"}, true);
  TokenFileHeader header;
  CHECK(encoded_ids(folder, "a c\n<unk>", *tokenizer, &header) == Ids{2, 1, 0, 1, 0});
  CHECK(header.vocabulary == 4);
  CHECK(header.oov == 1);
  CHECK(header.literal_unknowns == 1);
  CHECK(header.counts == CorpusCounts{.bytes = 9, .chars = 9, .lines = 2, .words = 3});
  CHECK(header.corpus_hash == checksum("a c\n<unk>"));
  CHECK(header.tokenizer_hash == tokenizer->hash());
}

TEST_CASE("EncodedCorpus: long lines in pieces give the ids of the whole", "[text]") {
  const ScratchFolder folder;
  std::string spaced, solid;
  for (int i = 0; i < 60000; ++i) {
    spaced += fmt::format("{}{}", i % 977, i % 7 == 0 ? "  " : " ");
    solid += i % 3 == 0 ? "\xe2\x82\xac" : "\xc3\xa9x";
  }
  std::string controls;  // the nearest whitespace is no space
  for (int i = 0; i < 20000; ++i) controls += fmt::format("{} .\r{}\f\t", i % 5, i % 7);
  for (const TokenizerConfig& config : {kWord, kChar, kByte, pieces(Algorithm::kBpe, std::nullopt),
                                        pieces(Algorithm::kUnigram, std::nullopt)}) {
    for (const std::string& text : {spaced, solid, controls}) {
      const auto tokenizer = train(config, {text});
      std::vector<int> whole = encoding_of(*tokenizer, text).ids;
      whole.push_back(tokenizer->end_of_line());
      CHECK(encoded_ids(folder, text, *tokenizer) == whole);
    }
  }
}

TEST_CASE("EncodedCorpus: any number of threads writes the same bytes", "[text]") {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 200000; ++i) {
    text += fmt::format("{}{}", i * 7919 % 1009, i % 11 == 0 ? "\n" : i % 13 == 0 ? "\n\n" : " ");
  }
  std::string solid(3000000, 'a');
  const Corpus corpus = {folder.write("lines", text), folder.write("solid", solid),
                         folder.write("empty", ""), folder.write("one", "1 2 3")};
  for (const TokenizerConfig& config : {kWord, kByte, pieces(Algorithm::kBpe, std::nullopt)}) {
    const auto tokenizer = train(config, lines_of(text));
    std::vector<std::string> files;
    for (const int threads : {0, 1, 2, 3}) {
      std::optional<ThreadPool> pool;
      if (threads > 0) pool.emplace(threads);
      EncodedCorpus encoded(*tokenizer, {5, 30000}, folder.path(""), pool ? &*pool : nullptr);
      encoded.encode(corpus, nullptr);
      encoded.write(
          formats::SafetensorsWriter(folder.path("tokens"), to_metadata(encoded.header())));
      files.push_back(content_of(folder.path("tokens")));
      CHECK(files.back() == files.front());
    }
    CHECK_NOTHROW(TokenFile(folder.path("tokens")).verify());
  }
}

TEST_CASE("EncodedCorpus: line starts go on from chunk to chunk", "[text]") {
  const ScratchFolder folder;
  std::string text;
  std::vector<std::uint64_t> expected;
  for (std::size_t i = 0; i < 20000; ++i) {
    expected.push_back(text.size());
    text.append(i % 50, 'x') += '\n';
    if (i % 5000 == 0) text.insert(text.size() - 1, 200000, 'y');
  }
  const auto tokenizer = train(kByte, {});
  ThreadPool pool(2);
  EncodedCorpus encoded(*tokenizer, {}, folder.path(""), &pool);
  encoded.encode({folder.write("text", text)}, nullptr);
  encoded.write(formats::SafetensorsWriter(folder.path("tokens"), to_metadata(encoded.header())));
  const formats::SafetensorsReader reader(folder.path("tokens"));
  const auto bytes = reader.read_all(reader.get("line_starts"));
  std::vector<std::uint64_t> starts(bytes.size() / sizeof(std::uint64_t));
  std::memcpy(starts.data(), bytes.data(), bytes.size());
  CHECK(starts == expected);
  std::vector<int> ids(text.size());
  TokenFile(folder.path("tokens")).read(0, ids);
  CHECK(std::equal(ids.begin(), ids.end(), text.begin()));
}

TEST_CASE("EncodedCorpus: the files add up, and to their sizes", "[text]") {
  const ScratchFolder folder;
  const std::string first = "a b\nc <unk>\n",
                    second =
                        "\xef\xbb\xbf"
                        "a\xff b\n\nc",
                    third = "b";
  const Corpus corpus(
      {folder.write("1", first), folder.write("2", second), folder.write("3", third)},
      InvalidUtf8::kReplace);
  const auto tokenizer = train(kWord, {"a b"}, true);
  const auto encode = [&](LineRange range) {
    EncodedCorpus encoded(*tokenizer, range, folder.path(""));
    encoded.encode(corpus, nullptr);
    return encoded.files();
  };
  const std::vector<FileTokens> files = encode({});
  REQUIRE(files.size() == 3);
  CHECK(files[0] == FileTokens{{.bytes = 12, .chars = 12, .lines = 2, .words = 4}, 6, 1, 1});
  CHECK(files[1] ==
        FileTokens{
            {.bytes = 10, .chars = 8, .lines = 3, .words = 3, .replaced = 1, .byte_order_marks = 1},
            6,
            2,
            0});
  CHECK(files[2] == FileTokens{{.bytes = 1, .chars = 1, .lines = 1, .words = 1}, 2, 0, 0});
  // The two sides of a split share the file between them.
  const std::vector<FileTokens> head = encode({0, 3}), tail = encode({3, 6});
  for (std::size_t i = 0; i < 3; ++i) {
    FileTokens both = head[i];
    both += tail[i];
    CHECK(both == files[i]);
  }
}

TEST_CASE("EncodedCorpus: text without a token beside line ends is refused", "[text]") {
  const ScratchFolder folder;
  const auto words = train(kWord, {"a"});
  check_error(ExitCode::kBadData, {folder.path("text"), "nothing to predict", "2 empty lines"},
              [&] { encoded_ids(folder, "  \n\t\n", *words); });
  CHECK(encoded_ids(folder, "  \n\t\n", *train(kByte, {})).size() == 5);
}

TEST_CASE("EncodedCorpus: progress runs from the first byte to the last", "[text]") {
  const ScratchFolder folder;
  const auto tokenizer = train(kByte, {});
  const auto file = folder.write("text", std::string(1000000, 'x'));
  EncodedCorpus corpus(*tokenizer, {}, folder.path(""));
  std::uint64_t last = 0;
  int calls = 0;
  corpus.encode({file, file}, [&](std::uint64_t done, std::uint64_t total) {
    CHECK(total == 2000000);
    CHECK(done > last);
    last = done;
    ++calls;
  });
  CHECK(last == 2000000);
  CHECK(calls > 2);
}
