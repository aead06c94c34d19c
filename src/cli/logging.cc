#include "src/cli/logging.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "sluice/base/printable.h"

namespace sluice::cli {
namespace {

// One line per message; "warning: " in front of what the user should look at.
class ConsoleSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit ConsoleSink(train::ProgressBar& bar) : bar_(bar) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    bar_.clear();
    const char* prefix = message.level >= spdlog::level::warn ? "warning: " : "";
    const std::string text(message.payload.data(), message.payload.size());
    const std::string line = prefix + printable(text) + "\n";
    // Nobody left to read it is no reason to stop.
    std::fwrite(line.data(), 1, line.size(), stderr);
  }
  void flush_() override { std::fflush(stderr); }

  train::ProgressBar& bar_;
};

}  // namespace

bool wants_bar(const Verbosity& verbosity) {
  return !verbosity.quiet && isatty(STDERR_FILENO) == 1;
}

void start_logging(const Verbosity& verbosity, train::ProgressBar& bar) {
  auto console = std::make_shared<ConsoleSink>(bar);
  console->set_level(verbosity.quiet     ? spdlog::level::warn
                     : verbosity.verbose ? spdlog::level::debug
                                         : spdlog::level::info);
  auto logger = std::make_shared<spdlog::logger>("sluice", std::move(console));
  logger->set_level(spdlog::level::debug);
  // A log that cannot be written must not end a run, nor fill the terminal.
  logger->set_error_handler([](const std::string&) {});
  spdlog::set_default_logger(std::move(logger));
}

void log_to_file(const std::string& path) {
  try {
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    file->set_pattern("%Y-%m-%d %H:%M:%S %l: %v");
    spdlog::default_logger()->sinks().push_back(std::move(file));
    spdlog::default_logger()->flush_on(spdlog::level::debug);
  } catch (const spdlog::spdlog_ex& error) {
    spdlog::warn("{}", error.what());
  }
}

}  // namespace sluice::cli
