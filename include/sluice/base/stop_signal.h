#pragma once

#include <signal.h>

// Signals on a training run. Commands other than `train` leave SIGINT and SIGTERM at their default
// action, so that an interrupt ends them with 130 or 143; `average` only after a file that it is
// writing, and an interactive `generate` on a terminal only while it waits for a line.
namespace sluice {

// A request to stop, raised by SIGINT, SIGTERM, SIGHUP or SIGUSR1. The handler only sets a flag;
// the training loop looks at it between steps, saves and leaves. A second SIGINT or SIGTERM ends
// the process at once with 128 + its number; SIGHUP and SIGUSR1 never do, since batch systems send
// them ahead of a SIGTERM.
class StopSignal {
 public:
  // Installs the handlers and ignores SIGPIPE and SIGXFSZ. SIGHUP stays ignored where it was
  // (nohup). Interrupted system calls are restarted.
  static void install();
  static bool requested();
  static void clear_for_test();
};

// While it lives, SIGINT and SIGTERM wait: for the moments of a command in which a file has a
// temporary name, that nobody would remove. Of the thread that it lives in; for commands that have
// no other.
class DelayedSignals {
 public:
  DelayedSignals();
  ~DelayedSignals();
  DelayedSignals(const DelayedSignals&) = delete;
  DelayedSignals& operator=(const DelayedSignals&) = delete;

 private:
  sigset_t before_;
};

// While it lives, SIGINT raises a flag instead of ending the process: what is going on is broken
// off, not the session. A second one before the first was seen to ends the process with 130. Where
// SIGINT is ignored it stays so. One at a time.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;
  bool raised() const;

 private:
  struct sigaction before_ {};
};

// A closed pipe and a file-size limit then show as errors of write(), to be reported like any
// other, instead of killing the process.
void ignore_pipe_and_file_size_signals();

}  // namespace sluice
