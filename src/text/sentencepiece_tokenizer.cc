#include "sentencepiece_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <utility>

#include "sentencepiece_library.h"
#include "sentencepiece_model.h"
#include "sentencepiece_words.h"
#include "sluice/base/file.h"
#include "sluice/base/printable.h"
#include "sluice/text/utf8.h"

namespace sluice::text {
namespace {

using Type = PieceModel::Type;

constexpr std::size_t kMaxPart = std::size_t{64} << 10, kMaxWord = std::size_t{4} << 10;
constexpr std::size_t kMaxCachedWord = 128;

std::atomic<std::uint64_t> instances{0};

std::string with_spaces(std::string_view piece) {
  std::string text;
  for (std::size_t i = 0; i < piece.size();) {
    if (piece.substr(i).starts_with(kSpaceMark)) {
      text += ' ';
      i += kSpaceMark.size();
    } else {
      text += piece[i++];
    }
  }
  return text;
}

bool is_text(Type type) {
  return type == Type::kNormal || type == Type::kUserDefined || type == Type::kUnused;
}

bool space_inside(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  return begin != std::string_view::npos && text.find(' ', begin) != std::string_view::npos;
}

// Cuts a text into spans that the library can be given and what goes around it, in one pass over
// the text for each of the three.
class OddPlaces {
 public:
  OddPlaces(std::string_view text, bool marks) : text_(text), mark_(marks ? 0 : text.size()) {}

  // The first place from `at` on of a NUL, a byte that is not UTF-8, or U+2581 if `marks`; the
  // length of the text without one. `at` never falls.
  std::size_t next(std::size_t at) {
    const std::string_view rest = text_.substr(at);
    if (nul_ <= at) nul_ = at + std::min(rest.size(), rest.find('\0'));
    if (invalid_ <= at) invalid_ = at + find_invalid_utf8(rest).value_or(rest.size());
    if (mark_ <= at) mark_ = at + std::min(rest.size(), rest.find(kSpaceMark));
    return std::min({nul_, invalid_, mark_});
  }

 private:
  std::string_view text_;
  std::size_t nul_ = 0, invalid_ = 0, mark_;  // the next of each, as far as it is known
};

// What follows from a model, once and for all.
struct PieceTable {
  explicit PieceTable(const PieceModel& model);

  std::vector<std::string> texts;  // by id, as decoded
  std::vector<std::string> names;  // by id, as described
  std::array<int, 256> bytes;      // ids of the byte pieces, -1: none
  int unknown = -1, end = -1, space = -1, nul = -1;
  bool dummy_prefix = false;      // a space goes in front of a line
  bool collapses_spaces = false;  // runs of spaces, and those in front of a text
  std::string_view algorithm;
  bool keeps_text = false;  // no normalisation: a U+2581 in the text needs care
  bool by_words = false, lossless = false;
};

PieceTable::PieceTable(const PieceModel& model) {
  bytes.fill(-1);
  bool spaces_in_front = true;
  for (const PieceModel::Piece& piece : model.pieces) {
    const int id = static_cast<int>(texts.size());
    std::string text, name = printable(piece.text);
    if (is_text(piece.type)) {
      text = with_spaces(piece.text);
      spaces_in_front = spaces_in_front && !space_inside(text);
      if (piece.text == kSpaceMark) space = id;
      if (piece.text == std::string_view("\0", 1)) nul = id;
    } else if (piece.type == Type::kByte) {
      text = static_cast<char>(piece.byte);
      name = fmt::format("0x{:02x}", piece.byte);
      bytes[static_cast<std::size_t>(piece.byte)] = id;
    } else if (piece.type == Type::kUnk) {
      unknown = id;
      text = kUnknownName;
    } else if (piece.text == model.eos_piece) {
      end = id;
    }
    texts.push_back(std::move(text));
    names.push_back(std::move(name));
  }
  if (end < 0) {
    end = static_cast<int>(texts.size());
    texts.emplace_back();
    names.emplace_back();
  }
  texts[static_cast<std::size_t>(end)] = "\n";
  names[static_cast<std::size_t>(end)] = kEndOfLineName;
  const PieceModel::Normalizer& normalizer = model.normalizer;
  dummy_prefix = normalizer.add_dummy_prefix;
  collapses_spaces = normalizer.remove_extra_whitespaces;
  keeps_text = normalizer.charsmap.empty() && !normalizer.remove_extra_whitespaces &&
               normalizer.escape_whitespaces && space >= 0;
  constexpr std::string_view kAlgorithms[] = {"unigram", "bpe", "word", "char"};
  algorithm = kAlgorithms[static_cast<std::size_t>(model.algorithm) - 1];
  lossless = keeps_text && !dummy_prefix && model.byte_fallback;
  by_words = keeps_text && spaces_in_front && !model.whitespace_as_suffix &&
             model.algorithm != PieceModel::Algorithm::kWord;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string model, const std::string& source, bool trusted)
      : model_(std::move(model)),
        table_(parse_piece_model(model_, source)),
        encoder_(table_.dummy_prefix ? without_dummy_prefix(model_) : model_, source, trusted) {
    if (table_.dummy_prefix && !table_.by_words) prefixing_.emplace(model_, source, trusted);
  }

  TokenizerType type() const override { return TokenizerType::kSentencePiece; }
  std::string_view algorithm() const override { return table_.algorithm; }
  int size() const override { return static_cast<int>(table_.texts.size()); }
  int end_of_line() const override { return table_.end; }
  int unknown() const override { return table_.unknown; }
  bool lossless() const override { return table_.lossless; }
  bool carries_bytes() const override { return table_.lossless; }

  void encode(std::string_view line, Encoding& out) const override {
    encode_piece(line, true, out);
  }

  void encode_piece(std::string_view piece, bool begins, Encoding& out) const override {
    OddPlaces odd_places(piece, table_.keeps_text);
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t odd = odd_places.next(at);
      const std::string_view plain = piece.substr(at, odd - at);
      if (table_.by_words) {
        encode_words(plain, begins && at == 0, out.ids);
      } else {
        encode_parts(plain, begins && at == 0, out.ids);
      }
      at = odd;
      if (at == piece.size()) break;
      const std::size_t size = piece.substr(at).starts_with(kSpaceMark) ? kSpaceMark.size() : 1;
      for (const char c : piece.substr(at, size)) out.ids.push_back(byte_id(c));
      at += size;
    }
    for (std::size_t i = out.oov.size(); i < out.ids.size(); ++i) {
      out.oov.push_back(out.ids[i] == table_.unknown);
    }
  }

  void decode(int id, int previous, std::string& out) const override {
    std::string_view text = table_.texts[static_cast<std::size_t>(id)];
    const bool first = previous == -1 || previous == table_.end;
    if (first && table_.dummy_prefix && text.starts_with(' ')) text.remove_prefix(1);
    out += text;
  }

  std::string describe(int id) const override { return table_.names[static_cast<std::size_t>(id)]; }

  std::string serialise() const override {
    return fmt::format("sluice tokenizer sentencepiece 1\nbytes {}\n", model_.size()) + model_;
  }

 private:
  int byte_id(char c) const {
    if (c == '\0' && table_.nul >= 0) return table_.nul;
    const int id = table_.bytes[static_cast<unsigned char>(c)];
    return id < 0 ? table_.unknown : id;
  }

  void encode_words(std::string_view text, bool start, std::vector<int>& ids) const {
    thread_local WordCache cache;
    cache.use_for(instance_);
    std::string first;
    while (!text.empty()) {
      std::string_view word = text.substr(0, word_length(text));
      text.remove_prefix(word.size());
      if (start && table_.dummy_prefix) word = (first = ' ') += word;
      start = false;
      if (word.size() > kMaxCachedWord) {
        encode_long(word, kMaxWord, ids);
        continue;
      }
      const std::uint64_t hash = checksum(word);
      const WordCache::Ids known = cache.find(word, hash);
      if (known.begin != nullptr) {
        ids.insert(ids.end(), known.begin, known.end);
        continue;
      }
      const std::size_t before = ids.size();
      encode_part(word, encoder_, ids);
      cache.add(word, hash, ids.data() + before, ids.data() + ids.size());
    }
  }

  void encode_parts(std::string_view text, bool start, std::vector<int>& ids) const {
    while (!text.empty()) {
      const std::size_t size = part_length(text);
      const std::string_view part = text.substr(0, size);
      text.remove_prefix(size);
      // Where the spaces in front are lost, the one of the prefix stands for them.
      const bool prefix = start || (table_.collapses_spaces && part.starts_with(' '));
      start = false;
      encode_part(part, prefix && prefixing_ ? *prefixing_ : encoder_, ids);
    }
  }

  static std::size_t part_length(std::string_view text) {
    const std::size_t limit = whole_characters(text, kMaxPart);
    if (limit == text.size()) return limit;
    const std::size_t space = text.substr(0, limit).rfind(' ');
    const std::size_t before = text.substr(0, limit).find_last_not_of(' ', space);
    const bool none = space == std::string_view::npos || before == std::string_view::npos;
    return none ? limit : before + 1;
  }

  void encode_long(std::string_view text, std::size_t limit, std::vector<int>& ids) const {
    while (!text.empty()) {
      const std::size_t size = whole_characters(text, limit);
      encode_part(text.substr(0, size), encoder_, ids);
      text.remove_prefix(size);
    }
  }

  void encode_part(std::string_view part, const PieceEncoder& encoder,
                   std::vector<int>& ids) const {
    if (!encoder.encode(part, ids)) encode_halves(part, encoder, ids);
  }

  // Down to the characters that the library fails at, as they are control pieces.
  void encode_halves(std::string_view part, const PieceEncoder& encoder,
                     std::vector<int>& ids) const {
    const std::size_t half = whole_characters(part, std::max<std::size_t>(part.size() / 2, 4));
    if (half < part.size()) {
      encode_part(part.substr(0, half), encoder, ids);
      encode_part(part.substr(half), encoder_, ids);
    } else if (const std::size_t first = utf8_length(part); first < part.size()) {
      encode_part(part.substr(0, first), encoder, ids);
      encode_part(part.substr(first), encoder_, ids);
    } else {
      for (const char c : part) ids.push_back(byte_id(c));
    }
  }

  std::string model_;
  PieceTable table_;
  PieceEncoder encoder_;                   // puts no space in front
  std::optional<PieceEncoder> prefixing_;  // does, for models that are not by words
  std::uint64_t instance_ = ++instances;   // tells the caches of the threads whose words they hold
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string model,
                                                        const std::string& source, bool trusted) {
  return std::make_unique<SentencePieceTokenizer>(std::move(model), source, trusted);
}

std::unique_ptr<Tokenizer> restore_sentencepiece_tokenizer(StoredLines& lines,
                                                           const std::string& source) {
  const std::uint64_t bytes = lines.next_number("bytes");
  if (bytes != lines.bytes_left()) {
    lines.fail(fmt::format("{} bytes behind this line", bytes),
               fmt::format("{}", lines.bytes_left()));
  }
  return make_sentencepiece_tokenizer(std::string(lines.rest()), source, false);
}

}  // namespace sluice::text
