#pragma once

#include <string>

#include "sluice/train/progress.h"

namespace sluice::cli {

// How much a command says on stderr: `-q` warnings only, `-v` everything.
struct Verbosity {
  bool quiet = false, verbose = false;
};

// Sends spdlog's default logger to stderr, around `bar`, which must outlive it. A bar is only shown
// on a terminal and without `-q`.
void start_logging(const Verbosity& verbosity, train::ProgressBar& bar);
bool wants_bar(const Verbosity& verbosity);
// From here on everything, with times, goes to this file as well; one that cannot be written is a
// warning.
void log_to_file(const std::string& path);

}  // namespace sluice::cli
