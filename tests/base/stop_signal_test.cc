#include "sluice/base/stop_signal.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <functional>

namespace sluice {
namespace {

// Runs the body in a child, which returns its exit status; signals of the test program stay as they
// are. A child killed by a signal gives minus its number.
int status_of_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    // The test framework's own handlers are not the subject.
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) std::signal(number, SIG_DFL);
    ::_exit(body());
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_CASE("StopSignal: the first signal of each kind only asks to stop", "[base]") {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    CAPTURE(number);
    CHECK(status_of_child([&] {
            StopSignal::install();
            if (StopSignal::requested()) return 1;
            std::raise(number);
            return StopSignal::requested() ? 42 : 2;
          }) == 42);
  }
}

TEST_CASE("DelayedSignals: SIGINT and SIGTERM wait for its end, and are not lost", "[base]") {
  for (const int number : {SIGINT, SIGTERM}) {
    CAPTURE(number);
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    CHECK(status_of_child([&] {
            const DelayedSignals delayed;
            ::kill(::getpid(), number);
            return ::write(pipe[1], "x", 1) == 1 ? 42 : 1;
          }) == -number);
    ::close(pipe[1]);
    char byte = 0;
    CHECK(::read(pipe[0], &byte, 1) == 1);
    ::close(pipe[0]);
  }
}

TEST_CASE("StopSignal: a second SIGINT or SIGTERM ends the process at once", "[base]") {
  const auto two = [](int first, int second) {
    return status_of_child([=] {
      StopSignal::install();
      std::raise(first);
      std::raise(second);
      return 42;
    });
  };
  CHECK(two(SIGINT, SIGINT) == 130);
  CHECK(two(SIGTERM, SIGTERM) == 143);
  CHECK(two(SIGTERM, SIGINT) == 130);
  CHECK(two(SIGINT, SIGTERM) == 143);
  // A batch system's warning followed by its SIGTERM must not cost the save under way.
  CHECK(two(SIGUSR1, SIGTERM) == 42);
  CHECK(two(SIGHUP, SIGTERM) == 42);
  CHECK(two(SIGTERM, SIGHUP) == 42);
  CHECK(two(SIGUSR1, SIGUSR1) == 42);
}

TEST_CASE("StopSignal: clear_for_test forgets the request", "[base]") {
  CHECK(status_of_child([] {
          StopSignal::install();
          std::raise(SIGINT);
          StopSignal::clear_for_test();
          if (StopSignal::requested()) return 1;
          std::raise(SIGINT);
          return StopSignal::requested() ? 42 : 2;
        }) == 42);
}

TEST_CASE("StopSignal: SIGHUP stays ignored under nohup", "[base]") {
  CHECK(status_of_child([] {
          std::signal(SIGHUP, SIG_IGN);
          StopSignal::install();
          std::raise(SIGHUP);
          return StopSignal::requested() ? 1 : 42;
        }) == 42);
}

TEST_CASE("StopSignal: not installed, SIGTERM keeps its default action", "[base]") {
  CHECK(status_of_child([] {
          std::raise(SIGTERM);
          return 42;
        }) == -SIGTERM);
}

TEST_CASE("InterruptFlag: SIGINT raises it, a second one ends the process", "[base]") {
  CHECK(status_of_child([] {
          const InterruptFlag flag;
          if (flag.raised()) return 1;
          std::raise(SIGINT);
          return flag.raised() ? 42 : 2;
        }) == 42);
  CHECK(status_of_child([] {
          const InterruptFlag flag;
          std::raise(SIGINT);
          std::raise(SIGINT);
          return 42;
        }) == 130);
}

TEST_CASE("InterruptFlag: each begins anew, and leaves SIGINT as it was", "[base]") {
  CHECK(status_of_child([] {
          for (int i = 0; i < 3; ++i) {
            const InterruptFlag flag;
            if (flag.raised()) return 1;
            std::raise(SIGINT);
          }
          return 42;
        }) == 42);
  CHECK(status_of_child([] {
          { const InterruptFlag flag; }
          std::raise(SIGINT);
          return 42;
        }) == -SIGINT);
  CHECK(status_of_child([] {
          std::signal(SIGINT, SIG_IGN);
          const InterruptFlag flag;
          std::raise(SIGINT);
          return flag.raised() ? 1 : 42;
        }) == 42);
}

TEST_CASE("ignore_pipe_and_file_size_signals: both become errors of write()", "[base]") {
  CHECK(status_of_child([] {
          ignore_pipe_and_file_size_signals();
          int ends[2];
          if (::pipe(ends) != 0) return 1;
          ::close(ends[0]);
          if (::write(ends[1], "x", 1) != -1 || errno != EPIPE) return 2;
          char name[] = "/tmp/sluice-test-XXXXXX";
          const int fd = ::mkstemp(name);
          ::unlink(name);
          const rlimit limit{4, 4};
          if (fd < 0 || ::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 3;
          if (::write(fd, "12345678", 8) != 4) return 4;
          return ::write(fd, "x", 1) == -1 && errno == EFBIG ? 42 : 5;
        }) == 42);
}

}  // namespace
}  // namespace sluice
