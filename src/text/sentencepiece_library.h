#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// The library behind two functions, so that no header of ours includes one of its.
namespace sluice::text {

// A loaded model; const, and shared by threads.
class PieceEncoder {
 public:
  // Error kBadData "SOURCE: ..." when the library refuses it. `trusted`: the library has just
  // written these bytes. Others must have passed parse_piece_model(), and are loaded and tried in
  // a child process first, which may crash or hang (20 s) without harm. There may be other threads,
  // as long as none is inside the library: the child calls it and leaves with _exit, and all that
  // these share besides is the heap, whose locks glibc's fork() sets right in the child.
  PieceEncoder(std::string_view model, const std::string& source, bool trusted);
  ~PieceEncoder();
  PieceEncoder(PieceEncoder&&) noexcept;

  // Appends the ids of a text without NUL that is UTF-8; false, and nothing, when the library
  // fails, as it does at a character that is a control piece. It takes some 250 bytes of memory for
  // each byte of text. A run of unknown characters is one unknown piece.
  bool encode(std::string_view text, std::vector<int>& ids) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sluice::text
