#include "sentencepiece_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_set>

#include "protobuf.h"
#include "sentencepiece_charsmap.h"
#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

using Kind = WireField::Kind;
constexpr std::size_t kMaxPieces = 1'000'000, kMaxPieceBytes = 512, kExcerptBytes = 40;
// More symbols of the user's that begin one another overflow an array of the library's.
constexpr std::size_t kMaxNested = 60;

// The value of "<0x4A>", -1 for anything else.
int byte_of(std::string_view piece) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  const std::size_t high = kDigits.find(piece[3]), low = kDigits.find(piece[4]);
  if (high == std::string_view::npos || low == std::string_view::npos) return -1;
  return static_cast<int>(high * 16 + low);
}

class ModelParser {
 public:
  ModelParser(std::string_view bytes, const std::string& source)
      : bytes_(bytes), source_(printable(source)) {}

  PieceModel parse() {
    if (bytes_.empty()) fail("the file is empty");
    if (bytes_.size() > kMaxModelBytes) fail("more than 64 MB");
    read(bytes_, [this](const WireField& field) {
      if (field.number == 1) add_piece(expect_bytes(field));
      if (field.number == 2) read_trainer(expect_bytes(field));
      if (field.number == 3) read_normalizer(expect_bytes(field), model_.normalizer);
      if (field.number == 5) read_normalizer(expect_bytes(field), model_.denormalizer);
    });
    at_ = bytes_.data();
    check_pieces();
    check_user_symbols();
    for (const PieceModel::Normalizer* normalizer : {&model_.normalizer, &model_.denormalizer}) {
      const char* fault = find_charsmap_fault(normalizer->charsmap);
      if (fault == nullptr) continue;
      at_ = normalizer->charsmap.data();
      fail("its normalisation has {}", fault);
    }
    return std::move(model_);
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw Error(ExitCode::kBadData, "{}: offset {}: not a SentencePiece model that can be used: {}",
                source_, at_ == nullptr ? 0 : at_ - bytes_.data(),
                fmt::format(format, std::forward<Args>(args)...));
  }

  // Calls visit(field) for each field of a message; at_ is then where complaints are about.
  template <class Visit>
  void read(std::string_view message, Visit&& visit) {
    WireReader reader(message);
    for (;;) {
      at_ = message.data() + reader.offset();
      const std::optional<WireField> field = reader.next();
      if (!field) break;
      visit(*field);
    }
    if (!reader.good()) fail("the message is cut or broken");
  }

  std::string_view expect_bytes(const WireField& field) const {
    if (field.kind != Kind::kBytes) fail("field {} is no text or message", field.number);
    return field.bytes;
  }
  std::uint64_t expect_number(const WireField& field, std::uint64_t max) const {
    if (field.kind != Kind::kVarint || field.value > max) {
      fail("field {} is not a number from 0 to {}", field.number, max);
    }
    return field.value;
  }
  bool expect_flag(const WireField& field) const { return expect_number(field, 1) == 1; }

  void add_piece(std::string_view message) {
    if (model_.pieces.size() == kMaxPieces) fail("more than {} pieces", kMaxPieces);
    PieceModel::Piece piece;
    read(message, [&](const WireField& field) {
      if (field.number == 1) piece.text = expect_bytes(field);
      if (field.number == 2) {
        if (field.kind != Kind::kFixed32) fail("a score that is no 32-bit number");
        piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
      }
      if (field.number == 3) {
        const std::uint64_t type = expect_number(field, 6);
        if (type == 0) fail("a piece of type 0 (expected 1 to 6)");
        piece.type = static_cast<PieceModel::Type>(type);
      }
    });
    at_ = message.data();
    check_piece(piece);
    model_.pieces.push_back(piece);
  }

  void check_piece(PieceModel::Piece& piece) const {
    const std::size_t id = model_.pieces.size();
    if (piece.text.empty()) fail("piece {} is empty", id);
    if (piece.text.size() > kMaxPieceBytes) {
      fail("piece {} has {} bytes (at most {})", id, piece.text.size(), kMaxPieceBytes);
    }
    if (piece.text.size() > 1 && piece.text.find('\0') != std::string_view::npos) {
      fail("piece {} holds a NUL", id);
    }
    if (find_invalid_utf8(piece.text)) fail("piece {} is not UTF-8", id);
    if (!std::isfinite(piece.score)) fail("the score of piece {} is not finite", id);
    if (piece.type != PieceModel::Type::kByte) return;
    piece.byte = byte_of(piece.text);
    if (piece.byte < 0) fail("{} is no byte piece", quote(piece.text, kExcerptBytes));
  }

  void read_trainer(std::string_view message) {
    read(message, [this](const WireField& field) {
      if (field.number == 3) {
        const std::uint64_t algorithm = expect_number(field, 1000);
        if (algorithm < 1 || algorithm > 4) {
          fail("model type {} is not known (expected 1 to 4)", algorithm);
        }
        model_.algorithm = static_cast<PieceModel::Algorithm>(algorithm);
      }
      if (field.number == 24) model_.whitespace_as_suffix = expect_flag(field);
      if (field.number == 35) model_.byte_fallback = expect_flag(field);
      if (field.number == 47) model_.eos_piece = expect_bytes(field);
    });
  }

  void read_normalizer(std::string_view message, PieceModel::Normalizer& into) {
    read(message, [&](const WireField& field) {
      if (field.number == 2) into.charsmap = expect_bytes(field);
      if (field.number == 3) into.add_dummy_prefix = expect_flag(field);
      if (field.number == 4) into.remove_extra_whitespaces = expect_flag(field);
      if (field.number == 5) into.escape_whitespaces = expect_flag(field);
    });
  }

  void check_pieces() const {
    std::unordered_set<std::string_view> seen;
    std::array<bool, 256> bytes = {};
    std::size_t unknown = 0;
    for (std::size_t id = 0; id < model_.pieces.size(); ++id) {
      const PieceModel::Piece& piece = model_.pieces[id];
      if (!seen.insert(piece.text).second) {
        fail("the piece {} stands twice", quote(piece.text, kExcerptBytes));
      }
      if (piece.type == PieceModel::Type::kUnk) ++unknown;
      if (piece.byte >= 0) bytes[static_cast<std::size_t>(piece.byte)] = true;
    }
    if (unknown != 1) fail("{} unknown pieces (expected 1)", unknown);
    const auto found = std::count(bytes.begin(), bytes.end(), true);
    if (found != (model_.byte_fallback ? 256 : 0)) {
      fail("{} byte pieces (expected {})", found, model_.byte_fallback ? 256 : 0);
    }
  }

  void check_user_symbols() const {
    std::unordered_set<std::string_view> symbols;
    for (const PieceModel::Piece& piece : model_.pieces) {
      if (piece.type == PieceModel::Type::kUserDefined) symbols.insert(piece.text);
    }
    for (const std::string_view symbol : symbols) {
      std::size_t nested = 0;
      for (std::size_t length = 1; length <= symbol.size(); ++length) {
        nested += symbols.contains(symbol.substr(0, length)) ? 1 : 0;
      }
      if (nested > kMaxNested) fail("more than {} symbols that begin one another", kMaxNested);
    }
  }

  std::string_view bytes_;
  std::string source_;
  const char* at_ = nullptr;
  PieceModel model_;
};

}  // namespace

PieceModel parse_piece_model(std::string_view bytes, const std::string& source) {
  return ModelParser(bytes, source).parse();
}

std::string without_dummy_prefix(std::string_view bytes) {
  constexpr std::uint32_t kSelfTest = 4;  // what texts became with the prefix: wrong without it
  std::string out;
  WireReader reader(bytes);
  for (std::size_t begin = 0;; begin = reader.offset()) {
    const std::optional<WireField> field = reader.next();
    if (!field) break;
    if (field->number != kSelfTest) out += bytes.substr(begin, reader.offset() - begin);
  }
  // A message that stands twice is merged: field 3, the normaliser, of which field 3 is now 0.
  return out + std::string("\x1a\x02\x18\x00", 4);
}

}  // namespace sluice::text
