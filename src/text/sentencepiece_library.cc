#include "sentencepiece_library.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sentencepiece_processor.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/base/stop_signal.h"

namespace sluice::text {
namespace {

using sentencepiece::SentencePieceProcessor;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kProbeLimit{20};
constexpr const char* kProbeTexts[] = {
    "The quick brown fox,  jumps over 13 lazy dogs. <s> </s> <unk> <0x41>",
    "\xe6\xbc\xa2\xe5\xad\x97\xe3\x81\x8b\xe3\x81\xaa \xd0\xb4\xd0\xb0 \xf0\x9f\x98\x80 "
    "\xef\xbc\xa1\xc2\xa0\xef\xac\x81\xef\xb7\xba",
    " \t\r", "\xe2\x96\x81\xe2\x96\x85",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

// What the library says of a model; empty when it takes it.
std::string load(SentencePieceProcessor& processor, std::string_view model) {
  try {
    const auto status = processor.LoadFromSerializedProto(model);
    return status.ok() ? "" : status.ToString();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  }
}

// Runs in the child, writes its verdict and never returns.
[[noreturn]] void probe(std::string_view model, int verdict, pid_t parent) {
  // SIGINT and SIGTERM stay blocked: they are for the parent, which ends the child as it pleases.
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) ::signal(signal, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before it could take the child along
  ::prctl(PR_SET_DUMPABLE, 0);            // no core file
  if (const int null = ::open("/dev/null", O_RDWR); null >= 0) {
    ::dup2(null, STDOUT_FILENO);
    ::dup2(null, STDERR_FILENO);
  }
  try {
    SentencePieceProcessor processor;
    // What the library itself refuses it refuses in the parent too, with the reason.
    if (load(processor, model).empty()) {
      std::vector<int> ids;
      for (const char* text : kProbeTexts) processor.Encode(text, &ids).IgnoreError();
    }
  } catch (...) {
    ::_exit(1);
  }
  const char good = 1;
  ::_exit(::write(verdict, &good, 1) == 1 ? 0 : 1);
}

enum class Verdict { kGood, kCrashed, kLate };

// `verdict` gives a byte, or its end where the child died.
Verdict wait_for(int verdict) {
  const auto limit = Clock::now() + kProbeLimit;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - Clock::now());
    pollfd waiting = {verdict, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<Clock::rep>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return Verdict::kLate;
    char good = 0;
    return ::read(verdict, &good, 1) == 1 ? Verdict::kGood : Verdict::kCrashed;
  }
}

void try_in_child(std::string_view model, const std::string& source) {
  int ends[2] = {-1, -1};
  const bool piped = ::pipe2(ends, O_CLOEXEC) == 0;
  const pid_t parent = ::getpid();
  pid_t child = -1;
  int error = errno;
  if (piped) {
    const DelayedSignals delayed;  // for the child, for good
    child = ::fork();
    if (child == 0) probe(model, ends[1], parent);
    error = errno;
  }
  if (child < 0) {
    for (const int end : ends) {
      if (end >= 0) ::close(end);
    }
    throw Error(ExitCode::kNoResource, "{}: no process to try the tokenizer in: {}",
                printable(source), std::strerror(error));
  }
  ::close(ends[1]);
  const Verdict verdict = wait_for(ends[0]);
  ::close(ends[0]);
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (verdict == Verdict::kGood) return;
  throw Error(ExitCode::kBadData, "{}: not a SentencePiece model that can be used: {}",
              printable(source),
              verdict == Verdict::kCrashed
                  ? "the library crashes on it"
                  : fmt::format("the library was not done with it in {} s", kProbeLimit.count()));
}

}  // namespace

struct PieceEncoder::State {
  SentencePieceProcessor processor;
};

PieceEncoder::PieceEncoder(std::string_view model, const std::string& source, bool trusted)
    : state_(std::make_unique<State>()) {
  if (!trusted) try_in_child(model, source);
  const std::string complaint = load(state_->processor, model);
  if (!complaint.empty()) {
    throw Error(ExitCode::kBadData, "{}: not a SentencePiece model that can be used: {}",
                printable(source), printable(complaint));
  }
}

PieceEncoder::~PieceEncoder() = default;
PieceEncoder::PieceEncoder(PieceEncoder&&) noexcept = default;

bool PieceEncoder::encode(std::string_view text, std::vector<int>& ids) const {
  std::vector<int> found;
  if (!state_->processor.Encode(text, &found).ok()) return false;
  ids.insert(ids.end(), found.begin(), found.end());
  return true;
}

}  // namespace sluice::text
