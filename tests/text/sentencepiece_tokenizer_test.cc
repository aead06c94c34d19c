#include "src/text/sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <span>
#include <thread>

#include "sluice/formats/safetensors.h"
#include "src/text/sentencepiece_library.h"
#include "tests/text/hard_texts.h"
#include "tests/text/sentencepiece_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

std::unique_ptr<Tokenizer> opened(const std::string& model) {
  return make_sentencepiece_tokenizer(model, "m", false);
}

Ids library_ids(const PieceEncoder& library, std::string_view line) {
  Ids ids;
  library.encode(line, ids);
  return ids;
}

}  // namespace

TEST_CASE("SentencePiece: decoding gives every text back", "[text]") {
  std::vector<std::string> texts = hard_texts();
  for (const auto& more : {malformed_texts(), random_texts(2000)}) {
    texts.insert(texts.end(), more.begin(), more.end());
  }
  texts.push_back(shakespeare(200000));
  for (const Algorithm algorithm : {Algorithm::kUnigram, Algorithm::kBpe, Algorithm::kChar}) {
    const Tokenizer& tokenizer = trained(algorithm);
    CHECK(tokenizer.lossless());
    for (const std::string& text : texts) {
      const bool same = round_trip(tokenizer, text) == text;
      CAPTURE(text.substr(0, 100));
      CHECK(same);
    }
  }
}

TEST_CASE("SentencePiece: the vocabulary is the model's", "[text]") {
  const Tokenizer& tokenizer = trained(Algorithm::kUnigram);
  CHECK(tokenizer.type() == TokenizerType::kSentencePiece);
  CHECK(tokenizer.size() == 600);
  CHECK(tokenizer.unknown() == 0);
  CHECK(tokenizer.end_of_line() == 1);
  const auto names = vocabulary(tokenizer);
  CHECK(names[0] == "<unk>");
  CHECK(names[1] == "</s>");
  CHECK(names[2 + 0x41] == "0x41");
  CHECK(std::count(names.begin(), names.end(), "\xe2\x96\x81the") == 1);
  CHECK(trained(Algorithm::kBpe).size() == 600);
}

TEST_CASE("SentencePiece: words alone give the ids of the whole line", "[text]") {
  for (const Algorithm algorithm : {Algorithm::kUnigram, Algorithm::kBpe, Algorithm::kChar}) {
    const Tokenizer& tokenizer = trained(algorithm);
    const PieceEncoder library(model_of(tokenizer), "m", true);
    std::string joined;
    int others = 0;
    for (const std::string& line : lines_of(shakespeare(100000))) {
      others += encoding_of(tokenizer, line).ids != library_ids(library, line);
      joined += line + "   ";
    }
    CHECK(others == 0);
    // Longer, and the library's sums are too coarse for unigram.
    if (algorithm == Algorithm::kUnigram) joined.resize(4000);
    CHECK((encoding_of(tokenizer, joined).ids == library_ids(library, joined)));
  }
}

TEST_CASE("SentencePiece: names of controls in the text are text", "[text]") {
  std::string model = model_of(trained(Algorithm::kBpe));
  model += piece("\xc3\xa9", kControlPiece);  // which the library finds among characters
  for (const auto& tokenizer : {opened(model), opened(model_of(trained(Algorithm::kUnigram)))}) {
    for (const std::string text :
         {"</s>", "<unk>", "<s>", "<0x41>", "a</s>b <unk> <0x0A>", "\xc3\xa9"}) {
      const Encoding encoding = encoding_of(*tokenizer, text);
      for (std::size_t i = 0; i < encoding.ids.size(); ++i) {
        CHECK(encoding.ids[i] != tokenizer->end_of_line());
        CHECK((encoding.ids[i] != tokenizer->unknown() || encoding.oov[i]));
        CHECK(encoding.ids[i] != tokenizer->size() - 1);
        CHECK(tokenizer->describe(encoding.ids[i]) != "0x0a");
      }
    }
  }
}

TEST_CASE("SentencePiece: a foreign model that loses text says so", "[text]") {
  const auto tokenizer = opened(foreign_model({}));
  CHECK_FALSE(tokenizer->lossless());
  CHECK(tokenizer->end_of_line() == 2);
  CHECK(tokenizer->size() == 400);
  CHECK(round_trip(*tokenizer, "The  king.\nMy \xef\xac\x81sh") == "The king.\nMy fish");
  // What it does not know is out of vocabulary, a run of it once, as in the library.
  const Encoding unknown = encoding_of(*tokenizer, "king \xe6\xbc\xa2\xe5\xad\x97 king");
  CHECK(std::count(unknown.oov.begin(), unknown.oov.end(), true) == 1);
  CHECK(std::count(unknown.ids.begin(), unknown.ids.end(), tokenizer->unknown()) == 1);
  const Encoding malformed = encoding_of(*tokenizer, std::string_view("a\xff\0b", 4));
  CHECK(std::count(malformed.oov.begin(), malformed.oov.end(), true) == 2);
  for (const auto& with : std::vector<std::unordered_map<std::string, std::string>>{
           {{"normalization_rule_name", "identity"},
            {"byte_fallback", "true"},
            {"vocab_size", "600"}},
           {{"normalization_rule_name", "identity"}, {"add_dummy_prefix", "false"}},
           {{"add_dummy_prefix", "false"}, {"remove_extra_whitespaces", "false"}}}) {
    CHECK_FALSE(opened(foreign_model(with))->lossless());
  }
}

TEST_CASE("SentencePiece: foreign models get the library's ids", "[text]") {
  const std::string text = shakespeare(150000);
  using With = std::unordered_map<std::string, std::string>;
  const With identity = {{"normalization_rule_name", "identity"},
                         {"remove_extra_whitespaces", "false"}};
  With across = identity, suffix = identity, llama = identity;
  across["split_by_whitespace"] = "false";
  suffix["treat_whitespace_as_suffix"] = "true";
  llama.insert({{"model_type", "bpe"},
                {"byte_fallback", "true"},
                {"vocab_size", "600"},
                {"allow_whitespace_only_pieces", "true"}});
  for (const With& with : {With{}, identity, across, suffix, llama, With{{"model_type", "word"}}}) {
    const std::string model = foreign_model(with);
    const auto tokenizer = opened(model);
    const PieceEncoder library(model, "m", true);
    int others = 0;
    for (std::string line : lines_of(text.substr(0, 20000))) {
      line += "  end ";
      others += encoding_of(*tokenizer, line).ids != library_ids(library, line);
    }
    CHECK(others == 0);
    CHECK(encoding_of(*tokenizer, "").ids.empty());
    CHECK(encoding_of(*tokenizer, " ").ids == library_ids(library, " "));
  }
  // A line of more than 64 KB is cut in front of spaces.
  std::string line = text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  const std::string model = foreign_model({{"model_type", "bpe"}});
  CHECK(
      (encoding_of(*opened(model), line).ids == library_ids(PieceEncoder(model, "m", true), line)));
}

TEST_CASE("SentencePiece: the space in front comes once, where the line begins", "[text]") {
  using With = std::unordered_map<std::string, std::string>;
  const With llama = {{"normalization_rule_name", "identity"},
                      {"remove_extra_whitespaces", "false"},
                      {"allow_whitespace_only_pieces", "true"},
                      {"byte_fallback", "true"},
                      {"vocab_size", "600"}};
  With across = llama;
  across["split_by_whitespace"] = "false";  // not by words
  for (const With& with : {llama, across}) {
    const std::string model = foreign_model(with);
    const auto tokenizer = opened(model);
    const std::string solid = shakespeare(100000).substr(0, 70000);
    std::string word = solid;
    std::erase_if(word, [](char c) { return c == ' ' || c == '\n'; });
    for (const std::string& text :
         {word, std::string("a\0b\0\0 c\0", 8), std::string("\xe2\x96\x81king \xe2\x96\x81 a"),
          std::string("  two  "), std::string("king\xff\xe2\x82lord")}) {
      CHECK((round_trip(*tokenizer, text) == text));
    }
    // A line in pieces, cut in front of spaces, and one cut between characters.
    const PieceEncoder library(model, "m", true);
    const std::string line = "My lord the king";
    for (const std::size_t cut : {7, 11}) {
      Encoding pieces;
      tokenizer->encode_piece(line.substr(0, cut), true, pieces);
      tokenizer->encode_piece(line.substr(cut), false, pieces);
      CHECK(pieces.ids == library_ids(library, line));
    }
    Encoding pieces;
    tokenizer->encode_piece("lor", true, pieces);
    tokenizer->encode_piece("d", false, pieces);
    CHECK(decoded(*tokenizer, pieces.ids) == "lord");
  }
  // Where the model drops spaces in front, its own stands for those of a later piece.
  const std::string model = foreign_model({});
  Encoding pieces;
  opened(model)->encode_piece("My lord", true, pieces);
  opened(model)->encode_piece(" the king", false, pieces);
  CHECK(pieces.ids == library_ids(PieceEncoder(model, "m", true), "My lord the king"));
  Encoding word;
  opened(model)->encode_piece("lord", false, word);
  CHECK(decoded(*opened(model), word.ids) == "lord");
}

TEST_CASE("SentencePiece: text that goes around the library takes linear time", "[text]") {
  const Tokenizer& tokenizer = trained(Algorithm::kBpe);
  std::string marks, mixed;
  for (int i = 0; i < 350000; ++i) {
    marks += "\xe2\x96\x81";
    mixed += "a\xff\xe2\x96\x81";
  }
  const auto begin = std::chrono::steady_clock::now();
  for (const std::string& text :
       {marks, std::string(1 << 20, '\xff'), std::string(1 << 20, '\0'), mixed}) {
    CHECK((round_trip(tokenizer, text) == text));
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
}

TEST_CASE("SentencePiece: a model without an end of line gets one behind its pieces", "[text]") {
  const std::string model = foreign_model({{"eos_id", "-1"}, {"bos_id", "-1"}});
  const auto tokenizer = opened(model);
  CHECK(tokenizer->end_of_line() == 400);
  CHECK(tokenizer->size() == 401);
  CHECK(tokenizer->describe(400) == "</s>");
  CHECK(round_trip(*tokenizer, "The king.\nMy lord.\n") == "The king.\nMy lord.\n");
}

TEST_CASE("SentencePiece: a space that would become bytes keeps a model from being lossless",
          "[text]") {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += piece(fmt::format("<0x{:02X}>", i), kBytePiece);
  const std::string model =
      piece("<unk>", kUnkPiece) + bytes + piece("a") + trainer(number_field(35, 1)) + kPlain;
  CHECK_FALSE(opened(model)->lossless());
  CHECK(opened(model + piece("\xe2\x96\x81"))->lossless());
  CHECK(round_trip(*opened(model + piece("\xe2\x96\x81")), "a b  \xe2\x96\x81") ==
        "a b  \xe2\x96\x81");
}

TEST_CASE("SentencePiece: threads and several tokenizers share nothing that shows", "[text]") {
  const std::vector<std::string> lines = lines_of(shakespeare(60000));
  const Tokenizer* tokenizers[] = {&trained(Algorithm::kUnigram), &trained(Algorithm::kBpe)};
  std::vector<Ids> expected;
  for (const Tokenizer* tokenizer : tokenizers) {
    const PieceEncoder library(model_of(*tokenizer), "m", true);
    for (const std::string& line : lines) expected.push_back(library_ids(library, line));
  }
  int wrong[4] = {};
  std::vector<std::thread> threads;
  for (int& mine : wrong) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < lines.size(); ++i) {
        for (std::size_t t = 0; t < 2; ++t) {
          Encoding encoding;
          tokenizers[t]->encode(lines[i], encoding);
          mine += encoding.ids != expected[t * lines.size() + i];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) CHECK(count == 0);
}

TEST_CASE("Tokenizer: is loaded from a model of the library's, a stored one or a Sluice model",
          "[text]") {
  const ScratchFolder folder;
  const Tokenizer& tokenizer = trained(Algorithm::kBpe);
  const std::string stored = tokenizer.serialise();
  const auto write_model = [&](const std::string& name, const std::string& tensor,
                               const std::string& bytes) {
    formats::SafetensorsWriter writer(folder.path(name), {});
    writer.declare(tensor, formats::Dtype::kU8, {bytes.size()});
    writer.commit([&](const auto&, const auto& write) { write(std::as_bytes(std::span(bytes))); });
    return folder.path(name);
  };
  for (const std::string& path :
       {folder.write("pieces.model", model_of(tokenizer)), folder.write("stored", stored),
        write_model("good.safetensors", "sluice.tokenizer", stored)}) {
    CAPTURE(path);
    CHECK(load_tokenizer(path)->hash() == tokenizer.hash());
  }
  const std::string chars = train(kChar, {"abc"})->serialise();
  CHECK(load_tokenizer(folder.write("chars", chars))->type() == TokenizerType::kChar);
  const std::string other = write_model("other.safetensors", "weights", stored);
  check_error(ExitCode::kBadData,
              {other, "no tokenizer in it (expected a tensor sluice.tokenizer)"},
              [&] { load_tokenizer(other); });
  const std::string broken = write_model("broken.safetensors", "sluice.tokenizer", stored + "x");
  check_error(ExitCode::kBadData, {broken + ": tokenizer: offset", "bytes behind this line"},
              [&] { load_tokenizer(broken); });
  const std::string cut = folder.write("cut", stored.substr(0, stored.size() - 1));
  check_error(ExitCode::kBadData, {cut}, [&] { load_tokenizer(cut); });
}

TEST_CASE("SentencePiece: a model that crashes the library costs a child process only", "[text]") {
  const std::string unknown = piece("<unk>", kUnkPiece);
  for (const std::size_t size : {300'000, 2'000'000}) {
    check_error(ExitCode::kBadData, {"m: not a SentencePiece model", "the library crashes on it"},
                [&] { PieceEncoder(unknown + piece(std::string(size, 'b')), "m", false); });
  }
  check_error(ExitCode::kBadData, {"m: not a SentencePiece model"},
              [&] { PieceEncoder("no model", "m", false); });
}
