#pragma once

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/support/source_dir.h"
#include "tests/text/text_files.h"
#include "tests/text/tokenizer_cases.h"

// SentencePiece models for the tests: ours, other people's, and broken ones.
namespace sluice::text::testing {

inline TokenizerConfig pieces(Algorithm algorithm, std::optional<Index> size) {
  TokenizerConfig config = config_of(TokenizerType::kSentencePiece);
  config.algorithm = algorithm;
  config.vocab_size = size;
  return config;
}

inline std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

// The first `bytes` of the Shakespeare that comes with the source.
inline std::string shakespeare(std::size_t bytes) {
  return content_of(sluice::testing::source_dir() + "/data/shakespeare/train.txt").substr(0, bytes);
}

// One training for each algorithm, shared by all tests.
inline const Tokenizer& trained(Algorithm algorithm) {
  static const auto make = [](Algorithm of) {
    return train(pieces(of, of == Algorithm::kChar ? 400 : 600), lines_of(shakespeare(150000)));
  };
  static const std::unique_ptr<Tokenizer> all[] = {make(Algorithm::kUnigram), make(Algorithm::kBpe),
                                                   make(Algorithm::kChar)};
  return *all[static_cast<int>(algorithm)];
}

// The bytes of the .model inside a tokenizer of ours.
inline std::string model_of(const Tokenizer& tokenizer) {
  const std::string stored = tokenizer.serialise();
  return stored.substr(stored.find('\n', stored.find('\n') + 1) + 1);
}

// A model as somebody else might have trained it: the library's own defaults but for `with`.
inline std::string foreign_model(const std::unordered_map<std::string, std::string>& with) {
  struct Sentences final : sentencepiece::SentenceIterator {
    std::vector<std::string> all = lines_of(shakespeare(30000));
    std::size_t at = 0;
    bool done() const override { return at == all.size(); }
    void Next() override { ++at; }
    const std::string& value() const override { return all[at]; }
    sentencepiece::util::Status status() const override { return {}; }
  } sentences;
  std::unordered_map<std::string, std::string> arguments = {{"vocab_size", "400"},
                                                            {"minloglevel", "3"},
                                                            {"num_threads", "2"},
                                                            {"seed_sentencepiece_size", "2000"}};
  for (const auto& [key, value] : with) arguments[key] = value;
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &sentences, &model);
  INFO(status.ToString());
  REQUIRE(status.ok());
  return model;
}

// Messages of Protocol Buffers, field by field.
inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
inline std::string number_field(unsigned field, std::uint64_t value) {
  return varint(field << 3) + varint(value);
}
inline std::string bytes_field(unsigned field, std::string_view bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
inline std::string float_field(unsigned field, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  std::string out = varint(field << 3 | 5);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(bits >> (8 * i));
  return out;
}

enum PieceType { kNormalPiece = 1, kUnkPiece, kControlPiece, kUserPiece, kUnusedPiece, kBytePiece };
inline std::string piece(std::string_view text, PieceType type = kNormalPiece, float score = -1) {
  return bytes_field(
      1, bytes_field(1, text) + float_field(2, score) + number_field(3, std::uint64_t{type}));
}
inline std::string trainer(std::string_view fields) { return bytes_field(2, fields); }
inline std::string normalizer(std::string_view fields) { return bytes_field(3, fields); }
inline const std::string kPlain = normalizer(number_field(3, 0) + number_field(4, 0));

}  // namespace sluice::text::testing
