#include "line_cutter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/text/utf8.h"
#include "words.h"

namespace sluice::text {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
constexpr std::string_view kReplacement = "\xef\xbf\xbd";
constexpr std::uint64_t kCountedBytes = 64 * 1024 * 1024;

[[noreturn]] void refuse_start(const std::string& file, std::string_view found,
                               std::string_view command) {
  throw Error(ExitCode::kBadData,
              "{}: offset 0: not plain text (expected UTF-8, found {}); convert it with: {}", file,
              found, command);
}

void refuse_signatures(std::string_view start, const std::string& file) {
  if (start.starts_with("\xff\xfe") || start.starts_with("\xfe\xff")) {
    refuse_start(file, "UTF-16 text", "iconv -f UTF-16 -t UTF-8");
  }
  for (const PackedFormat& format : kPackedFormats) {
    // Text may begin as some do.
    if (!start.starts_with(format.signature) || !find_invalid_utf8(format.signature)) continue;
    const bool unpacked = format.signature == kGzip.signature;  // once already
    refuse_start(file, unpacked ? "a gzip file within another" : format.what, format.command);
  }
}

// The last place up to kPieceBytes, else the first behind, up to `limit`; 0: none. starts(at) tells
// whether a run begins there.
template <class Starts>
std::size_t find_run(std::size_t limit, const Starts& starts) {
  for (std::size_t at = kPieceBytes; at > 0; --at) {
    if (starts(at)) return at;
  }
  for (std::size_t at = kPieceBytes + 1; at <= limit; ++at) {
    if (starts(at)) return at;
  }
  return 0;
}

// Where the first piece of a long line ends; npos: not known before more of it has come, of which
// there is some unless `ends`.
std::size_t find_cut(std::string_view line, bool ends) {
  const std::size_t limit = std::min(line.size() - 1, kMostPieceBytes);
  const std::size_t space =
      find_run(limit, [line](std::size_t at) { return line[at] == ' ' && line[at - 1] != ' '; });
  if (space > 0) return space;
  const bool more = line.size() > kMostPieceBytes;
  if (!more && !ends) return std::string_view::npos;
  // Other whitespace may stand inside a piece of SentencePiece's.
  const std::size_t other = find_run(limit, [line](std::size_t at) {
    return is_ascii_space(line[at]) && !is_ascii_space(line[at - 1]);
  });
  if (other > 0) return other;
  return more ? complete_utf8_prefix(line.substr(0, kMostPieceBytes)) : std::string_view::npos;
}

}  // namespace

LineCutter::LineCutter(std::string name, std::size_t file, bool packed, InvalidUtf8 invalid_utf8,
                       const VisitPiece& visit)
    : name_(std::move(name)),
      file_(file),
      packed_(packed),
      invalid_utf8_(invalid_utf8),
      visit_(visit) {}

void LineCutter::add(std::string_view bytes, std::uint64_t read) {
  read_ = read;
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const bool ends = end != std::string_view::npos;
    const std::string_view part = bytes.substr(0, end);
    bytes.remove_prefix(ends ? end + 1 : bytes.size());
    if (pending_.empty()) {
      const std::size_t delivered = deliver_pieces(part, ends, ends);
      if (!ends) pending_ = part.substr(delivered);
    } else {
      pending_ += part;
      pending_.erase(0, deliver_pieces(pending_, ends, ends));
    }
  }
}

void LineCutter::finish() {
  if (!pending_.empty()) deliver_pieces(pending_, true, false);
  if (malformed_ > 0 && invalid_utf8_ == InvalidUtf8::kError) throw_invalid(true);
}

// Returns how much of `line` was delivered: all of it where it ends.
std::size_t LineCutter::deliver_pieces(std::string_view line, bool ends, bool terminated) {
  std::size_t begin = 0;
  while (line.size() - begin > kPieceBytes) {
    const std::string_view rest = line.substr(begin);
    std::size_t cut = find_cut(rest, ends);
    if (cut == std::string_view::npos && !ends) return begin;
    if (cut == std::string_view::npos) break;
    deliver(rest.substr(0, cut), false, false);
    begin += cut;
  }
  if (!ends) return begin;
  deliver(line.substr(begin), true, terminated);
  return line.size();
}

void LineCutter::deliver(std::string_view raw, bool ends, bool terminated) {
  if (offset_ == 0) refuse_signatures(raw, name_);
  CorpusPiece piece{{raw, std::exchange(begins_, ends), ends, file_, read_}, {}};
  piece.counts.bytes = raw.size() + (terminated ? 1 : 0);
  piece.counts.chars = terminated ? 1 : 0;
  piece.counts.lines = ends ? 1 : 0;
  if (offset_ == 0 && raw.starts_with(kByteOrderMark)) {
    piece.text.remove_prefix(kByteOrderMark.size());
    piece.counts.byte_order_marks = 1;
    ++piece.counts.chars;
  }
  piece.counts.words = count_words(piece.text);
  const bool cut_word = in_word_ && !piece.text.empty() && !is_ascii_space(piece.text.front());
  if (cut_word) --piece.counts.words;  // counted with the piece before
  in_word_ = !ends && !is_ascii_space(raw.back());
  if (!find_invalid_utf8(piece.text)) {
    piece.counts.chars += count_code_points(piece.text);
  } else {
    mend(piece, offset_ + raw.size() - piece.text.size());
  }
  offset_ += piece.counts.bytes;
  if (malformed_ == 0 || invalid_utf8_ != InvalidUtf8::kError) return visit_(piece);
  if (offset_ - malformed_at_[0] > kCountedBytes) throw_invalid(false);
}

// Counts the malformed bytes of a piece, each as a character, and replaces them where that is
// wanted. `offset`: of its text in the file.
void LineCutter::mend(CorpusPiece& piece, std::uint64_t offset) {
  const bool replace = invalid_utf8_ == InvalidUtf8::kReplace;
  std::string_view rest = piece.text;
  mended_.clear();
  std::uint64_t found = 0;
  while (const auto invalid = find_invalid_utf8(rest)) {
    const std::string_view good = rest.substr(0, *invalid);
    piece.counts.chars += count_code_points(good) + 1;
    if (replace) (mended_ += good) += kReplacement;
    offset += *invalid;
    count_malformed(offset++, rest[*invalid]);
    rest.remove_prefix(*invalid + 1);
    ++found;
  }
  piece.counts.chars += count_code_points(rest);
  (replace ? piece.counts.replaced : piece.counts.malformed) = found;
  if (replace) piece.text = mended_ += rest;
}

void LineCutter::count_malformed(std::uint64_t offset, char byte) {
  if (malformed_ == 0) malformed_byte_ = byte;
  if (malformed_ < malformed_at_.size()) malformed_at_[malformed_] = offset;
  ++malformed_;
}

void LineCutter::throw_invalid(bool whole) const {
  const std::size_t listed = std::min<std::uint64_t>(malformed_, malformed_at_.size());
  throw Error(ExitCode::kBadData,
              "{}: offset {}: invalid text{} (expected UTF-8, found byte 0x{:02x}; malformed "
              "bytes: {}{}, at {}{}); if it is in another encoding, convert it, for example with: "
              "iconv -f LATIN1 -t UTF-8; else --invalid-utf8 replace makes each U+FFFD, and bytes "
              "keeps them",
              name_, malformed_at_[0], packed_ ? ", unpacked" : "",
              static_cast<unsigned char>(malformed_byte_), whole ? "" : "at least ", malformed_,
              fmt::join(std::span(malformed_at_).first(listed), ", "),
              malformed_ > listed ? ", ..." : "");
}

}  // namespace sluice::text
