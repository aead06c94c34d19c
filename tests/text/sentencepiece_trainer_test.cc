#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "sluice/text/utf8.h"
#include "src/text/word_sample.h"
#include "tests/text/sentencepiece_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

struct Trained {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string notes;
};

Trained train_noted(const TokenizerConfig& config, const std::vector<std::string>& lines) {
  Trained result;
  const auto trainer = make_tokenizer_trainer(
      config, false, [&](const std::string& note) { result.notes += note + "\n"; });
  for (const std::string& line : lines) trainer->add_line(line);
  result.tokenizer = trainer->finish();
  return result;
}

bool has_piece(const Tokenizer& tokenizer, const std::string& name) {
  const auto names = vocabulary(tokenizer);
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

TEST_CASE("SentencePiece training: the same text gives the same bytes", "[text]") {
  const auto lines = lines_of(shakespeare(30000));
  for (const Algorithm algorithm : {Algorithm::kUnigram, Algorithm::kBpe, Algorithm::kChar}) {
    CHECK(train(pieces(algorithm, 400), lines)->serialise() ==
          train(pieces(algorithm, 400), lines)->serialise());
  }
}

TEST_CASE("SentencePiece training: frequent words become pieces, whatever stands around them",
          "[text]") {
  // Each alone in its lines and always followed alike, which the library by itself overlooks.
  const std::vector<std::string> lines(50, "zyxw qvkjq. \xe6\xbc\xa2\xe5\xad\x97\xe3\x80\x82");
  const auto tokenizer = train_noted(pieces(Algorithm::kUnigram, std::nullopt), lines).tokenizer;
  CHECK(has_piece(*tokenizer, "\xe2\x96\x81qvkjq"));
  CHECK(has_piece(*tokenizer, "zyxw"));
  std::string cut;
  for (const int id : encoding_of(*tokenizer, lines[0]).ids) cut += tokenizer->describe(id) + "|";
  CHECK(cut == "zyxw|\xe2\x96\x81qvkjq|.|\xe2\x96\x81\xe6\xbc\xa2\xe5\xad\x97|\xe3\x80\x82|");
}

TEST_CASE("SentencePiece training: a word that comes twice, and no other word, becomes a piece",
          "[text]") {
  const std::vector<std::string> lines(2, " zyxwvq");
  const auto tokenizer = train_noted(pieces(Algorithm::kUnigram, std::nullopt), lines).tokenizer;
  CHECK(has_piece(*tokenizer, "\xe2\x96\x81zyxwvq"));
}

TEST_CASE("SentencePiece training: no line is too long for it", "[text]") {
  // 97 % of these bytes stand in lines that the library's defaults drop.
  std::vector<std::string> lines(300, "short");
  std::string longer;
  while (longer.size() < 10000) longer += " lengthy";
  lines.insert(lines.end(), 10, longer);
  lines.emplace_back(100000, 'w');
  const auto tokenizer = train_noted(pieces(Algorithm::kUnigram, std::nullopt), lines).tokenizer;
  CHECK(has_piece(*tokenizer, "\xe2\x96\x81lengthy"));
  CHECK(has_piece(*tokenizer, "wwwwwwwwwwwwwwww"));
}

TEST_CASE("SentencePiece training: characters that it cannot train on do not harm the rest",
          "[text]") {
  const std::vector<std::string> lines(40, std::string("alpha\tbeta\xe2\x96\x85gamma\xe2\x96\x81") +
                                               std::string("delta\0omega", 11) +
                                               "\xff zeta </s> eta");
  const auto tokenizer = train_noted(pieces(Algorithm::kBpe, std::nullopt), lines).tokenizer;
  for (const char* name : {"alpha", "beta", "gamma", "delta", "omega", "\xe2\x96\x81zeta"}) {
    CHECK(has_piece(*tokenizer, name));
  }
  CHECK(round_trip(*tokenizer, lines[0]) == lines[0]);
}

TEST_CASE("SentencePiece training: runs of spaces become pieces", "[text]") {
  const std::vector<std::string> lines = {"        x = 1;", "        y = 2;", "    z = 3;"};
  const auto tokenizer = train_noted(pieces(Algorithm::kBpe, std::nullopt), lines).tokenizer;
  CHECK(encoding_of(*tokenizer, "        x").ids.size() < 5);
  CHECK(round_trip(*tokenizer, "        x  y   ") == "        x  y   ");
}

TEST_CASE("SentencePiece training: the size follows the text and is told", "[text]") {
  const Trained small =
      train_noted(pieces(Algorithm::kBpe, std::nullopt), lines_of(shakespeare(100000)));
  CHECK(small.tokenizer->size() == 1000);
  CHECK(small.notes ==
        "vocab_size: 1000 pieces (auto, for 0.1 MB); tokenizer.vocab_size sets another\n");
  // Never more than the text supports, and none is needed.
  const Trained tiny = train_noted(pieces(Algorithm::kUnigram, std::nullopt), {"a"});
  CHECK(tiny.tokenizer->size() == 260);
  CHECK(round_trip(*tiny.tokenizer, "a b") == "a b");
  CHECK(round_trip(*train_noted(pieces(Algorithm::kUnigram, std::nullopt), {"\t", ""}).tokenizer,
                   "\tx ") == "\tx ");
  CHECK(train_noted(pieces(Algorithm::kBpe, 500), lines_of(shakespeare(100000))).notes.empty());
}

TEST_CASE("SentencePiece training: rare characters are bytes, and that is told", "[text]") {
  std::vector<std::string> lines;
  for (char32_t c = 0x4e00; c < 0x4e00 + 600; ++c) {
    std::string line = "common";
    append_utf8(c, line);
    if (c < 0x4e00 + 50) line += line;
    lines.push_back(line);
  }
  const Trained few = train_noted(pieces(Algorithm::kChar, 330), lines);
  // 330 - 258 - 1 are left: c, o, m, n and the 67 most frequent of the others.
  CHECK(few.notes.find("tokenizer: the 533 rarest of 604 characters, ") == 0);
  CHECK(few.tokenizer->size() == 330);
  CHECK(has_piece(*few.tokenizer, "\xe4\xb8\x80"));
  CHECK_FALSE(has_piece(*few.tokenizer, "\xe5\x80\x80"));
  for (const std::string& line : lines) CHECK(round_trip(*few.tokenizer, line) == line);
}

TEST_CASE(
    "SentencePiece training: a vocabulary that cannot be is refused with the library's advice",
    "[text]") {
  const auto lines = lines_of(shakespeare(3000));
  for (const Algorithm algorithm : {Algorithm::kUnigram, Algorithm::kBpe}) {
    check_error(
        ExitCode::kBadData,
        {"tokenizer.vocab_size 20000 is too high for this text. Please set it to a value <= "},
        [&] { train(pieces(algorithm, 20000), lines); });
    check_error(ExitCode::kUsage, {"tokenizer.vocab_size: no room", "expected 300 or more"},
                [&] { train(pieces(algorithm, 299), lines); });
  }
}

TEST_CASE("WordSample: counts the words of a text", "[text]") {
  WordSample sample;
  sample.add_line("to be,  or  not to be");
  sample.add_line(" be caf\xc3\xa9");
  sample.add_line("\xd0\xb4\xd0\xb0-\xd0\xb4\xd0\xb0\xe6\xbc\xa2\xe5\xad\x97\xe3\x80\x82");
  sample.add_line("");
  std::string words;
  sample.for_each([&](std::string_view word, std::uint64_t count) {
    words += fmt::format("[{}]{}", word, count);
  });
  CHECK(words ==
        "[to]1[ be]3[,]1[  or]1[  not]1[ to]1[ caf\xc3\xa9]1"
        "[\xd0\xb4\xd0\xb0]2[-]1[\xe6\xbc\xa2\xe5\xad\x97]1[\xe3\x80\x82]1");
  CHECK(sample.text_bytes() == 22 + 10 + 19 + 1);
  CHECK(sample.rate() == 1);
}

TEST_CASE("WordSample: of a large text the words of a fixed share of its lines", "[text]") {
  const auto counted = [](std::uint64_t text_bytes, std::uint64_t word_chars, bool distinct) {
    WordSample sample({.text_bytes = text_bytes, .word_chars = word_chars});
    for (int i = 0; i < 64000; ++i) sample.add_line(distinct ? fmt::format("w{}", i) : "word word");
    std::uint64_t count = 0;
    sample.for_each([&](std::string_view, std::uint64_t of) { count += of; });
    return std::pair(sample.rate(), count);
  };
  const auto [rate, count] = counted(200000, 1 << 20, false);
  CHECK(rate == 0.25);  // 64,000 lines of 9 bytes
  CHECK(count > 2 * 15000);
  CHECK(count < 2 * 17000);
  // Digits and the letter in front are words of their own.
  const auto [low, few] = counted(1 << 30, 50000, true);
  CHECK(low == 0.125);
  CHECK(few > 2 * 7000);
  CHECK(few < 2 * 9000);
}
