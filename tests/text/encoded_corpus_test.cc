#include "src/text/encoded_corpus.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "sluice/base/file.h"
#include "sluice/text/token_file.h"
#include "tests/text/text_files.h"
#include "tests/text/tokenizer_cases.h"

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
  for (const TokenizerConfig& config : {kWord, kChar}) {
    for (const std::string& text : {spaced, solid}) {
      const auto tokenizer = train(config, {text});
      std::vector<int> whole = encoding_of(*tokenizer, text).ids;
      whole.push_back(0);
      CHECK(encoded_ids(folder, text, *tokenizer) == whole);
    }
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
