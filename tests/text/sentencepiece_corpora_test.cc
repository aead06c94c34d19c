#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "tests/text/sentencepiece_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

// A text, unpacked where it is packed.
std::string whole_text(const std::filesystem::path& path) {
  if (path.extension() != ".xz") return content_of(path.string());
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(
      popen(("xz -dc '" + path.string() + "'").c_str(), "r"), pclose);
  REQUIRE(pipe);
  std::string text, block(1 << 16, '\0');
  while (const std::size_t got = fread(block.data(), 1, block.size(), pipe.get())) {
    text.append(block, 0, got);
  }
  return text;
}

// Line by line, so that nothing is held twice.
bool survives(const Tokenizer& tokenizer, std::string_view text) {
  Encoding encoding;
  for (const std::string& line : lines_of(text)) {
    encoding.clear();
    tokenizer.encode(line, encoding);
    if (decoded(tokenizer, encoding.ids) != line) return false;
    if (std::count(encoding.oov.begin(), encoding.oov.end(), true) != 0) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("SentencePiece: whole corpora in many scripts survive", "[text][corpora]") {
  const std::string folder = corpora_folder();
  if (folder.empty()) return;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/multilingual")) {
    const std::filesystem::path& path = entry.path();
    if (path.extension() != ".txt" && path.extension() != ".xz") continue;
    CAPTURE(path);
    const std::string text = whole_text(path);
    REQUIRE(text.size() > 100'000);
    // Trained on the start of the text, so that the rest has characters without a piece.
    const auto lines = lines_of(std::string_view(text).substr(0, 60'000));
    for (const Algorithm algorithm : {Algorithm::kUnigram, Algorithm::kBpe, Algorithm::kChar}) {
      const auto tokenizer = train(pieces(algorithm, std::nullopt), lines);
      CHECK(tokenizer->lossless());
      CHECK(survives(*tokenizer, text));
    }
    CHECK(survives(*train(kChar, lines_of(text)), text));
    ++files;
  }
  CHECK(files > 0);
}
