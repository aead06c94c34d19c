#include "src/cli/model_arguments.h"

#include <fmt/format.h>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/base/thread_pool.h"
#include "sluice/config/open_model.h"
#include "src/cli/enum_option.h"

namespace sluice::cli {

std::string ModelArguments::path() const {
  if (which != "best" && which != "last") {
    throw Error(ExitCode::kUsage, "--which: expected best or last, found {}", quote(which));
  }
  return config::model_path(*model, which == "best" ? config::Which::kBest : config::Which::kLast);
}

int ModelArguments::thread_count() const {
  return threads > 0 ? static_cast<int>(threads) : available_cpus();
}

void add_threads(CLI::App& command, Index& threads) {
  add_option(command, "--threads", threads, "N", "threads; 0: the CPUs this process may use",
             {.min = 0, .max = 4096});
}

void add_verbosity(CLI::App& command, Verbosity& verbosity) {
  add_flag(command, "-q,--quiet", verbosity.quiet, "warnings only");
  add_flag(command, "-v,--verbose", verbosity.verbose, "say more");
}

void add_weights(CLI::App& command, std::optional<std::string>& weights, std::string_view which) {
  add_option(command, "--weights", weights, enum_choices<kernels::WeightFormat>(),
             fmt::format("format of the weights {} (default f32)", which));
}

kernels::WeightFormat parse_weights(const std::optional<std::string>& weights) {
  if (!weights) return kernels::WeightFormat::kFloat32;
  return parse_enum<kernels::WeightFormat>("--weights", *weights);
}

void add_model_arguments(CLI::App& command, ModelArguments& arguments) {
  add_positional(command, "MODEL", arguments.model,
                 "a .safetensors file, or a run directory: its best model", Presence::kRequired);
  add_option(command, "--which", arguments.which, "best|last",
             "of a run directory: the best model or the last checkpoint");
  add_weights(command, arguments.weights,
              "of products and softmax, to which they are rounded: the narrower, the faster texts "
              "are written");
  add_threads(command, arguments.threads);
  add_verbosity(command, arguments.verbosity);
}

}  // namespace sluice::cli
