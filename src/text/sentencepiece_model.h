#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// What a SentencePiece model file holds, read by a parser of our own before the library sees a byte
// of it: version 0.1.97 crashes on models that are cut, huge or made up.
namespace sluice::text {

inline constexpr std::uint64_t kMaxModelBytes = std::uint64_t{64} << 20;

// The message ModelProto of sentencepiece_model.proto (SentencePiece 0.1.97), as far as it matters
// for reading text; the numbers of enums and fields are that file's.
struct PieceModel {
  enum class Type { kNormal = 1, kUnk, kControl, kUserDefined, kUnused, kByte };
  enum class Algorithm { kUnigram = 1, kBpe, kWord, kChar };
  struct Piece {
    std::string_view text;  // points into the bytes that were parsed
    float score = 0;
    Type type = Type::kNormal;
    int byte = -1;  // what a kByte stands for
  };
  struct Normalizer {
    std::string_view charsmap;  // empty: the text stays as it is
    bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  };

  std::vector<Piece> pieces;
  Algorithm algorithm = Algorithm::kUnigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  std::string_view eos_piece = "</s>";
  Normalizer normalizer, denormalizer;
};

// Error kBadData "SOURCE: offset N: not a SentencePiece model: ..." for anything that a model
// written by SentencePiece does not have: more than 64 MB or 1,000,000 pieces, a broken message, a
// piece that is empty, double, not UTF-8, longer than 512 bytes or holds a NUL (the piece that is
// nothing but a NUL is accepted), not exactly one unknown piece, a score that is not finite, byte
// pieces that are not all 256 or without byte_fallback, an unknown type, a normalisation table
// that leads out of itself.
PieceModel parse_piece_model(std::string_view bytes, const std::string& source);

// The same model, but that it puts no space in front of a text. Of bytes that parse.
std::string without_dummy_prefix(std::string_view bytes);

}  // namespace sluice::text
