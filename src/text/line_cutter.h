#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "sluice/text/corpus.h"

namespace sluice::text {

// A piece of a line, and what it adds to the counts of its file.
struct CorpusPiece : LinePiece {
  CorpusCounts counts;
};
using VisitPiece = std::function<void(const CorpusPiece& piece)>;

// A line of more bytes than kPieceBytes comes in pieces, cut before a run of spaces: before the
// last that fits, else before the first up to kMostPieceBytes. Where there is none, the cut is
// before a run of other whitespace; where there is none either, between two characters.
inline constexpr std::size_t kPieceBytes = 64 * 1024, kMostPieceBytes = 1024 * 1024;

// Cuts the bytes of one file into pieces; where the cuts are depends on the bytes alone.
class LineCutter {
 public:
  // `name` is what errors call the file, `file` its number, `packed` whether its bytes were
  // unpacked.
  LineCutter(std::string name, std::size_t file, bool packed, InvalidUtf8 invalid_utf8,
             const VisitPiece& visit);

  // Error kBadData as read_corpus. With InvalidUtf8::kError nothing more is delivered after the
  // first malformed byte, and the error comes when the others are counted: at the end of the file.
  // `read` as in LinePiece.
  void add(std::string_view bytes, std::uint64_t read);
  void finish();

 private:
  std::size_t deliver_pieces(std::string_view line, bool ends, bool terminated);
  void deliver(std::string_view raw, bool ends, bool terminated);
  void mend(CorpusPiece& piece, std::uint64_t offset);
  void count_malformed(std::uint64_t offset, char byte);
  [[noreturn]] void throw_invalid(bool whole) const;

  const std::string name_;
  const std::size_t file_;
  const bool packed_;
  const InvalidUtf8 invalid_utf8_;
  const VisitPiece& visit_;
  std::string pending_;                   // of a line whose end has not come
  bool begins_ = true, in_word_ = false;  // of the next piece
  std::uint64_t offset_ = 0;              // in the file, of what comes next
  std::uint64_t read_ = 0;
  std::string mended_;
  std::uint64_t malformed_ = 0;
  std::array<std::uint64_t, 5> malformed_at_{};  // the first of them
  char malformed_byte_ = 0;
};

}  // namespace sluice::text
