#include "src/cli/dry_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "sluice/base/memory.h"
#include "sluice/base/output_place.h"
#include "sluice/base/printable.h"
#include "sluice/model/summary.h"
#include "sluice/text/token_lines.h"
#include "sluice/train/plan.h"
#include "sluice/train/progress.h"
#include "src/cli/network_report.h"
#include "src/cli/output.h"
#include "src/cli/train_start.h"

namespace sluice::cli {
namespace {

using train::format_count;
using train::format_duration;

std::string line(std::string_view name, const std::string& value) {
  return fmt::format("{:<20}{}\n", name, value);
}

std::string bytes(double count) { return format_count(count) + "B"; }

// The part of all training targets that lies in each tail of an adaptive output.
std::vector<double> tail_shares(const DryRun& run) {
  const model::OutputConfig& output = run.config.model.output;
  if (output.type != model::OutputType::kAdaptive || !output.cutoffs) return {};
  const std::vector<std::uint64_t> counts = run.text.train.frequencies();
  std::vector<double> shares(output.cutoffs->size());
  for (std::size_t id = 0; id < counts.size(); ++id) {
    const Index word = run.text.permutation.to_model(static_cast<int>(id));
    const auto above = std::upper_bound(output.cutoffs->begin(), output.cutoffs->end(), word);
    if (above == output.cutoffs->begin()) continue;
    shares[static_cast<std::size_t>(above - output.cutoffs->begin()) - 1] +=
        static_cast<double>(counts[id]) / static_cast<double>(run.text.train.size());
  }
  return shares;
}

std::string network_text(const DryRun& run) {
  const model::Summary summary = model::summarise(run.config.model, run.text.tokenizer->size());
  const double forward = 2 * summary.multiply_adds(tail_shares(run));
  const kernels::Backend& backend = run.network.backend();
  return line("parameters",
              fmt::format("{}: {}", format_count(static_cast<double>(summary.parameters())),
                          parts_text(summary))) +
         line("receptive field",
              fmt::format("{} tokens", model::receptive_field(run.config.model))) +
         line("FLOP per token", fmt::format("{} forward, {} in training", format_count(forward),
                                            format_count(3 * forward))) +
         line("computed in",
              fmt::format("{} ({} kernels)", name_of(backend.precision()), backend.name()));
}

std::string length_text(const DryRun& run, model::GatedConvLm::State& memory) {
  const config::Config& config = run.config;
  const Index per_step = config.data.batch_size * config.train.accumulate_steps;
  const double step_tokens = static_cast<double>(per_step * config.data.tokens_per_sample);
  const auto epochs = static_cast<std::uint64_t>(config.train.max_epochs.value_or(0));
  text::Batch batch;
  const double forward = train::time_forward(run.network, run.batches, batch, memory);
  const double valid_batches =
      static_cast<double>(run.text.valid.size()) /
      (static_cast<double>(config.data.batch_size * config.data.positions_per_sample()) *
       run.batches.mean_load());
  const train::LengthPlan plan = train::plan_length(
      config.train, run.state, run.batches.epoch_start(epochs), per_step, forward, valid_batches);
  const double samples = plan.steps * static_cast<double>(per_step);
  const double passes = samples / static_cast<double>(run.batches.epoch_start(1));
  const double tokens = passes * static_cast<double>(run.text.train.size());
  return line("steps",
              fmt::format(
                  "{:.0f} of {}{:.0f} tokens{}{}", plan.steps,
                  config.data.mode == text::Mode::kLines ? "at most " : "", step_tokens,
                  run.state.step > 0 ? fmt::format(", after {} that are done", run.state.step) : "",
                  plan.bounded_by_time ? ", bounded by time" : "")) +
         line("tokens",
              fmt::format("{} in training, {:.2f} epochs", format_count(tokens), passes)) +
         line("time", fmt::format("about {}, from a forward pass of {:.3g} ms",
                                  format_duration(plan.seconds), 1000 * forward));
}

std::string memory_text(const train::MemoryPlan& plan, double so_far) {
  std::string text = line("memory", fmt::format("about {}", bytes(std::max(plan.total(), so_far))));
  const auto part = [&](std::string_view name, double count) {
    text += line(fmt::format("  {}", name), bytes(count));
  };
  part("values", plan.values);
  part("gradients", plan.gradients);
  part("optimiser states", plan.states);
  part("averages", plan.averages);
  part("activations", plan.activations);
  part("softmax", plan.softmax);
  if (plan.working > 0) part("working copies", plan.working);
  part("evaluation, save", plan.evaluation);
  part("rest", plan.rest);
  if (so_far > plan.total()) part("reading the text", so_far);
  return text;
}

std::string disk_text(const train::DiskPlan& plan, Index kept) {
  return line("disk", fmt::format("{} at most", bytes(plan.most))) +
         line("  checkpoint", fmt::format("{}, {} kept", bytes(plan.checkpoint), kept)) +
         line("  best model", bytes(plan.model));
}

}  // namespace

ExitCode dry_run(const DryRun& run, Output& out) {
  const config::Config& config = run.config;
  const auto state = [&] {
    return run.network.state(config.data.batch_size, config.data.positions_per_sample(), true);
  };
  // A run makes its batch twice, so that what is refused is refused before anything is written.
  state();
  const auto memory = state();
  const train::DiskPlan disk =
      train::plan_disk(run.network.parameters(), run.info, carried_bytes(config, run.network),
                       config.train.keep_last);
  check_creatable(run.path + "/checkpoints");
  if (!run.resumed) check_disk(run.path, disk.checkpoint + disk.model);
  std::string text = line("run", printable(run.path)) +
                     line("text", fmt::format("{} training and {} validation tokens, vocabulary {}",
                                              run.text.train.size(), run.text.valid.size(),
                                              run.text.tokenizer->size()));
  text += network_text(run) + length_text(run, *memory);
  const double so_far = static_cast<double>(resident_memory().peak);
  const train::MemoryPlan plan =
      train::plan_memory(run.network, *memory,
                         {.mode = config.data.mode,
                          .tokens = run.text.valid.size(),
                          .longest_line = text::longest_line(run.text.valid)});
  out.write(text + memory_text(plan, so_far) + disk_text(disk, config.train.keep_last));
  return ExitCode::kDone;
}

}  // namespace sluice::cli
