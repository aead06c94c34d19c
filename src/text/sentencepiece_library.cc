#include "sentencepiece_library.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sentencepiece_processor.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <optional>
#include <thread>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"

namespace sluice::text {
namespace {

using sentencepiece::SentencePieceProcessor;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kProbeLimit{20};
constexpr int kProbeGood = 0, kProbeRefused = 3;
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

// Runs in the child, and never returns.
[[noreturn]] void probe(std::string_view model) {
  for (const int signal : {SIGINT, SIGTERM, SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) {
    ::signal(signal, SIG_DFL);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_DUMPABLE, 0);  // no core file
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    ::dup2(null, STDOUT_FILENO);
    ::dup2(null, STDERR_FILENO);
  }
  int result = kProbeRefused;
  try {
    SentencePieceProcessor processor;
    if (load(processor, model).empty()) {
      result = kProbeGood;
      std::vector<int> ids;
      for (const char* text : kProbeTexts) {
        if (!processor.Encode(text, &ids).ok()) result = kProbeRefused;
      }
    }
  } catch (...) {
    result = kProbeRefused;
  }
  ::_exit(result);
}

// The child's wait status; nothing when it did not end in time.
std::optional<int> wait_for(pid_t child) {
  const auto limit = Clock::now() + kProbeLimit;
  std::chrono::microseconds pause{200};
  for (;;) {
    int status = 0;
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if ((ended < 0 && errno != EINTR) || Clock::now() > limit) break;
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::microseconds>(pause * 2, std::chrono::milliseconds(20));
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return std::nullopt;
}

void try_in_child(std::string_view model, const std::string& source) {
  const pid_t child = ::fork();
  if (child < 0) {
    throw Error(ExitCode::kNoResource, "{}: no process to try the tokenizer in: {}",
                printable(source), std::strerror(errno));
  }
  if (child == 0) probe(model);
  const std::optional<int> status = wait_for(child);
  const auto refuse = [&source](const std::string& why) {
    throw Error(ExitCode::kBadData, "{}: not a SentencePiece model that can be used: {}",
                printable(source), why);
  };
  if (!status) refuse(fmt::format("the library was not done with it in {} s", kProbeLimit.count()));
  if (WIFSIGNALED(*status)) {
    refuse(fmt::format("the library crashes on it (signal {})", WTERMSIG(*status)));
  }
  // The reason, if it has one, follows from loading it here.
  const int code = WEXITSTATUS(*status);
  if (code != kProbeGood && code != kProbeRefused) refuse("the library gives up on it");
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
