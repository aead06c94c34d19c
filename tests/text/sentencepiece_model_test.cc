#include "src/text/sentencepiece_model.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>

#include "src/text/sentencepiece_library.h"
#include "tests/text/sentencepiece_cases.h"

using namespace sluice;
using namespace sluice::text;
using namespace sluice::text::testing;

namespace {

std::string byte_pieces(int count) {
  std::string pieces;
  for (int i = 0; i < count; ++i) pieces += piece(fmt::format("<0x{:02X}>", i), kBytePiece);
  return pieces;
}

std::string charsmap(const std::vector<std::uint32_t>& units, std::string_view replacements) {
  std::string bytes(4 + 4 * units.size(), '\0');
  const auto size = static_cast<std::uint32_t>(4 * units.size());
  std::memcpy(bytes.data(), &size, 4);
  std::memcpy(bytes.data() + 4, units.data(), 4 * units.size());
  return normalizer(bytes_field(2, bytes + std::string(replacements)));
}

// A trie of 256 units in which all lead to the root's children again: no end to it.
std::vector<std::uint32_t> looping_units() {
  std::vector<std::uint32_t> units(256);
  for (std::uint32_t i = 0; i < 256; ++i) units[i] = i | i << 10;
  return units;
}

const std::string kUnk = piece("<unk>", kUnkPiece), kRest = piece("\xe2\x96\x81") + piece("a");

}  // namespace

TEST_CASE("SentencePiece: 22 bad models are refused with the reason", "[text]") {
  std::string noise(4096, '\0');
  std::mt19937 random(3);
  for (char& c : noise) c = static_cast<char>(random());
  std::string many = kUnk;
  for (int i = 0; i < 1'000'000; ++i) many += piece(fmt::format("p{}", i));
  const std::string good = model_of(trained(Algorithm::kBpe));
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "empty"},
      {"Just a text.\nWith lines.\n", "cut or broken"},
      {good.substr(0, good.size() / 2), "cut or broken"},
      {kRest, "0 unknown pieces"},
      {kUnk + piece("<u>", kUnkPiece) + kRest, "2 unknown pieces"},
      {kUnk + kRest + piece("a"), "the piece \"a\" stands twice"},
      {kUnk + kRest + piece(""), "piece 3 is empty"},
      {kUnk + kRest + piece(std::string_view("a\0b", 3)), "piece 3 holds a NUL"},
      {kUnk + kRest + piece(std::string(300'000, 'b')), "piece 3 has 300000 bytes (at most 512)"},
      {kUnk + kRest + piece(std::string(2'000'000, 'b')), "piece 3 has 2000000 bytes"},
      {kUnk + kRest + piece("\xff"), "piece 3 is not UTF-8"},
      {kUnk + kRest + piece("b", kNormalPiece, std::numeric_limits<float>::quiet_NaN()),
       "the score of piece 3 is not finite"},
      {kUnk + kRest + piece("b", kNormalPiece, std::numeric_limits<float>::infinity()),
       "the score of piece 3 is not finite"},
      {kUnk + kRest + charsmap({0xffffffff}, "x"), "points outside the table"},
      {kUnk + kRest + charsmap(looping_units(), "x"), "leads back to itself"},
      {kUnk + kRest + normalizer(bytes_field(2, noise)), "its normalisation has"},
      {kUnk + kRest + byte_pieces(255) + trainer(number_field(35, 1)), "255 byte pieces"},
      {kUnk + kRest + byte_pieces(256), "256 byte pieces (expected 0)"},
      {kUnk + kRest + piece("<0x4g>", kBytePiece) + trainer(number_field(35, 1)),
       "\"<0x4g>\" is no byte piece"},
      {kUnk + kRest + trainer(number_field(3, 9)), "model type 9 is not known"},
      {many, "more than 1000000 pieces"},
      {std::string((64 << 20) + 1, 'x'), "more than 64 MB"}};
  for (const auto& [bytes, reason] : bad) {
    CAPTURE(reason);
    check_error(ExitCode::kBadData, {"m.model: offset ", reason},
                [&, &model = bytes] { parse_piece_model(model, "m.model"); });
  }
}

TEST_CASE("SentencePiece: bad model files are refused, and what is no file", "[text]") {
  const ScratchFolder folder;
  const auto refused = [](ExitCode code, const std::string& path) {
    check_error(code, {path}, [&] { load_tokenizer(path); });
  };
  REQUIRE(::mkfifo(folder.path("pipe").c_str(), 0600) == 0);
  std::filesystem::create_directory(folder.path("directory"));
  refused(ExitCode::kNoInput, folder.path("missing"));
  refused(ExitCode::kNoInput, folder.path("directory"));
  refused(ExitCode::kNoInput, folder.path("pipe"));
  refused(ExitCode::kBadData, folder.write("empty", ""));
  refused(ExitCode::kBadData, folder.write("text", "Just a text.\n"));
  refused(ExitCode::kBadData, folder.write("huge", ""));
  std::filesystem::resize_file(folder.path("huge"), (64 << 20) + 1);
  refused(ExitCode::kBadData, folder.path("huge"));
}

TEST_CASE("SentencePiece: what real models have is accepted", "[text]") {
  const std::string nul = piece(std::string_view("\0", 1));
  CHECK(parse_piece_model(kUnk + kRest + nul, "m").pieces.size() == 4);
  CHECK(parse_piece_model(kUnk + byte_pieces(256) + trainer(number_field(35, 1)), "m")
            .pieces[66]
            .byte == 65);
  for (const char* rule : {"nmt_nfkc", "nfkc_cf", "nfkc"}) {
    const std::string model = foreign_model({{"normalization_rule_name", rule}});
    CHECK(parse_piece_model(model, rule).normalizer.charsmap.size() > 100'000);
  }
  const PieceModel ours = parse_piece_model(model_of(trained(Algorithm::kBpe)), "m");
  CHECK(ours.algorithm == PieceModel::Algorithm::kBpe);
  CHECK(ours.byte_fallback);
  CHECK_FALSE(ours.normalizer.add_dummy_prefix);
  CHECK_FALSE(ours.normalizer.remove_extra_whitespaces);
  CHECK(ours.normalizer.charsmap.empty());
}

TEST_CASE("SentencePiece: a table that would overrun the library's matches is refused", "[text]") {
  // "a", "aa", "aaa", ... in one chain of 40 nodes, 256 units each, as deep as no real table is.
  const auto chain = [](std::uint32_t nodes) {
    std::vector<std::uint32_t> units(256 * (nodes + 1));
    units[0] = 256u << 10;
    for (std::uint32_t node = 1; node < nodes; ++node) {
      const std::uint32_t at = 256 * node ^ 'a', base = 256 * (node + 1);
      units[at] = 'a' | 1u << 8 | (at ^ base) << 10;
      units[base] = 1u << 31;
    }
    return units;
  };
  CHECK_NOTHROW(parse_piece_model(kUnk + kRest + charsmap(chain(30), std::string("x\0", 2)), "m"));
  check_error(ExitCode::kBadData, {"too many rules"}, [&] {
    parse_piece_model(kUnk + kRest + charsmap(chain(40), std::string("x\0", 2)), "m");
  });
  check_error(ExitCode::kBadData, {"a replacement outside"}, [&] {
    auto units = chain(30);
    units[512] = 1u << 31 | 7;
    parse_piece_model(kUnk + kRest + charsmap(units, std::string("x\0", 2)), "m");
  });
  check_error(ExitCode::kBadData, {"a rule for more than 64 bytes"}, [&] {
    parse_piece_model(kUnk + kRest + charsmap(chain(100), std::string("x\0", 2)), "m");
  });
  check_error(ExitCode::kBadData, {"a table of more than 4 MB"}, [&] {
    parse_piece_model(kUnk + kRest + charsmap(chain(5000), std::string("x\0", 2)), "m");
  });
}

TEST_CASE("SentencePiece: a model loses its prefix, its tests of it, and nothing else", "[text]") {
  const std::string model =
      foreign_model({{"self_test_sample_size", "3"}, {"user_defined_symbols", "xyz"}});
  const std::string cleared = without_dummy_prefix(model);
  CHECK(cleared.size() < model.size());
  const PieceModel before = parse_piece_model(model, "m"), after = parse_piece_model(cleared, "m");
  CHECK(before.normalizer.add_dummy_prefix);
  CHECK_FALSE(after.normalizer.add_dummy_prefix);
  CHECK(after.normalizer.charsmap == before.normalizer.charsmap);
  CHECK(after.normalizer.remove_extra_whitespaces);
  CHECK(after.pieces.size() == before.pieces.size());
  std::vector<int> with, without;
  REQUIRE(PieceEncoder(model, "m", true).encode("xyz", with));
  REQUIRE(PieceEncoder(cleared, "m", true).encode("xyz", without));
  CHECK(with.size() == without.size() + 1);
}

TEST_CASE("SentencePiece: a flipped bit never crashes, and never keeps the hash", "[text]") {
  const auto& tokenizer = trained(Algorithm::kUnigram);
  const std::string stored = tokenizer.serialise();
  std::mt19937 random(11);
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    std::string damaged = stored;
    char& byte = damaged[random() % damaged.size()];
    byte = static_cast<char>(byte ^ 1 << random() % 8);
    try {
      const auto restored = restore_tokenizer(damaged, "m");
      CHECK(restored->hash() != tokenizer.hash());
      encoding_of(*restored, "To be,  or not to be");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::kBadData);
      ++refused;
    }
  }
  CHECK(refused > 20);
}
