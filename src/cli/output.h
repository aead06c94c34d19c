#pragma once

#include <string>
#include <string_view>

namespace sluice::cli {

// The reader of stdout has gone (EPIPE): no error of ours and nothing to say; main() exits with
// 141, as the signal would have done.
struct BrokenPipe {};

// Standard output, with every byte accounted for. Buffered: what was not flushed when an error is
// thrown is dropped, so that a failed command has printed nothing.
// Errors: Error kOutput when stdout is full or closed, BrokenPipe.
class Output {
 public:
  void write(std::string_view text);
  // Before waiting for input; main() does it at the end.
  void flush();
  // Before working for long: the error that flush() would meet on a closed stdout.
  static void check_open();

 private:
  std::string buffer_;
};

// Writes `error: TEXT` to stderr as one line, whatever the text holds. Never throws.
void report_error(std::string_view text) noexcept;

// To be called before anything is opened: a file must not become descriptor 0, 1 or 2 because the
// caller closed it (`>&-`) and then receive what is meant for stdout. What was closed becomes a
// descriptor on which reading, or writing, fails.
void occupy_closed_streams();

}  // namespace sluice::cli
