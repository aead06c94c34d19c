#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/stop_signal.h"
#include "src/cli/commands.h"
#include "src/cli/output.h"

namespace sluice::cli {
namespace {

constexpr int kBrokenPipe = 141;  // 128 + SIGPIPE, what a shell shows for a program it ended

int fail(ExitCode code, const char* text) {
  report_error(text);
  return static_cast<int>(code);
}

// The only place that turns errors into words and exit codes.
int run(const std::vector<std::string>& arguments) {
  try {
    Output out;
    const ExitCode code = run_command_line(arguments, out);
    out.flush();
    return static_cast<int>(code);
  } catch (const BrokenPipe&) {
    return kBrokenPipe;
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::kNoResource, "out of memory; a smaller model, batch or file needs less");
  } catch (const std::system_error& error) {
    const bool no_thread = error.code() == std::errc::resource_unavailable_try_again;
    return fail(no_thread ? ExitCode::kNoResource : ExitCode::kInternal, error.what());
  } catch (const std::exception& error) {
    return fail(ExitCode::kInternal, error.what());
  }
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) {
  sluice::cli::occupy_closed_streams();
  sluice::ignore_pipe_and_file_size_signals();
  return sluice::cli::run({argv + (argc > 0 ? 1 : 0), argv + argc});
}
