#include "sluice/base/stop_signal.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace sluice {
namespace {

// Lock-free, so that a handler may touch them.
std::atomic<bool> stop_requested{false};
std::atomic<bool> interrupted_once{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int number) {
  stop_requested.store(true);
  const bool insists = number == SIGINT || number == SIGTERM;
  if (insists && interrupted_once.exchange(true)) ::_exit(128 + number);
}

std::atomic<bool> interrupt_raised{false};

void on_interrupt(int number) {
  if (interrupt_raised.exchange(true)) ::_exit(128 + number);
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

bool is_ignored(int number) {
  struct sigaction action {};
  return sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void StopSignal::install() {
  ignore_pipe_and_file_size_signals();
  if (!is_ignored(SIGHUP)) handle(SIGHUP, on_signal);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1}) handle(number, on_signal);
}

bool StopSignal::requested() { return stop_requested.load(); }

void StopSignal::clear_for_test() {
  stop_requested.store(false);
  interrupted_once.store(false);
}

DelayedSignals::DelayedSignals() {
  sigset_t delayed;
  sigemptyset(&delayed);
  sigaddset(&delayed, SIGINT);
  sigaddset(&delayed, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &delayed, &before_);
}

DelayedSignals::~DelayedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

InterruptFlag::InterruptFlag() {
  interrupt_raised.store(false);
  sigaction(SIGINT, nullptr, &before_);
  if (before_.sa_handler != SIG_IGN) handle(SIGINT, on_interrupt);
}

InterruptFlag::~InterruptFlag() { sigaction(SIGINT, &before_, nullptr); }

bool InterruptFlag::raised() const { return interrupt_raised.load(); }

void ignore_pipe_and_file_size_signals() {
  handle(SIGPIPE, SIG_IGN);
  handle(SIGXFSZ, SIG_IGN);
}

}  // namespace sluice
