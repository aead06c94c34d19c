#include "src/cli/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sluice/base/printable.h"
#include "sluice/kernels/machine.h"
#include "sluice/train/progress.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;
using train::BenchmarkResult;
using train::BenchmarkTimes;
using train::format_count;

// In the order of train::Phase, as JSON keys.
constexpr std::array<std::string_view, train::kPhases> kPhaseKeys = {
    "forward", "softmax_forward", "softmax_backward", "backward", "norm", "update"};

std::string words_of(std::string_view key) {
  std::string words(key);
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

double softmax_seconds(const BenchmarkTimes& times) {
  // A difference of two medians.
  return std::max(0.0, times.window - times.window_hidden);
}

std::string time_line(std::string_view name, double seconds, double whole) {
  return fmt::format("  {:<20}{:>10.3f} ms{:>8.1f} %\n", name, 1000 * seconds,
                     100 * seconds / whole);
}

std::string times_text(const BenchReport& report) {
  const BenchmarkTimes& times = report.result.times;
  std::string text =
      fmt::format("training: step of {}{} x {} tokens{}{}, median of {}\n",
                  report.accumulate_steps > 1 ? fmt::format("{} x ", report.accumulate_steps) : "",
                  report.batch_size, report.tokens_per_sample,
                  report.context_tokens > 0 ? fmt::format(" after {}", report.context_tokens) : "",
                  report.carry_context ? ", context carried" : "", times.steps);
  for (std::size_t phase = 0; phase < kPhaseKeys.size(); ++phase) {
    text += time_line(words_of(kPhaseKeys[phase]), times.phases[phase], times.step);
  }
  text += time_line("step", times.step, times.step);
  text += fmt::format("\nevaluation: {} tokens of one stream, median of {}\n",
                      report.result.work.window_tokens, times.windows);
  text += time_line("hidden layers", times.window_hidden, times.window);
  text += time_line("softmax", softmax_seconds(times), times.window);
  text += time_line("window", times.window, times.window);
  text += fmt::format("\ngeneration: a token of one text, weights {}, median of {}\n",
                      name_of(report.weights), times.tokens);
  text += time_line("hidden layers", times.token_hidden, times.token);
  text += time_line("softmax", times.token_softmax, times.token);
  text += time_line("draw", times.token_draw, times.token);
  return text + time_line("token", times.token, times.token);
}

std::string rates_text(const BenchmarkResult& result) {
  const auto line = [](std::string_view name, double tokens, std::string_view rate, double of,
                       double limit) {
    return fmt::format("{:<14}{:>14.1f}{:>14}{:>10.1f} %\n", name, tokens, rate, 100 * of / limit);
  };
  const auto gflops = [](double flops) { return fmt::format("{:.1f} GFLOP/s", flops / 1e9); };
  const double peak = result.limits.product_peak;
  return fmt::format("{:<14}{:>14}{:>14}{:>12}\n", "", "tokens/s", "", "of limit") +
         line("training", result.train_tokens_per_second(), gflops(result.train_flops_per_second()),
              result.train_flops_per_second(), peak) +
         line("evaluation", result.eval_tokens_per_second(), gflops(result.eval_flops_per_second()),
              result.eval_flops_per_second(), peak) +
         line("generation", result.generate_tokens_per_second(),
              fmt::format("{:.1f} GB/s", result.generate_bytes_per_second() / 1e9),
              result.generate_bytes_per_second(), result.limits.weights_rate);
}

std::string_view peak_instructions(const train::BenchmarkLimits& limits) {
  return limits.peak_of_tiles ? "AMX" : kernels::widest_instructions();
}

std::string peak_text(const BenchReport& report) {
  const train::BenchmarkLimits& limits = report.result.limits;
  return fmt::format("{:.1f} GFLOP/s of {} multiply-adds ({}){}", limits.product_peak / 1e9,
                     limits.peak_of_tiles ? "bf16" : "f32", peak_instructions(limits),
                     report.precision == kernels::Precision::kBf16x3 ? ", three for one" : "");
}

}  // namespace

std::string as_text(const BenchReport& report) {
  const BenchmarkResult& result = report.result;
  const auto line = [](std::string_view name, const std::string& value) {
    return fmt::format("{:<14}{}\n", name, value);
  };
  const auto gigabytes = [](double rate, double bytes) {
    return fmt::format("{:.1f} GB/s of reading {}B", rate / 1e9, format_count(bytes));
  };
  return line("network", fmt::format("{}: {} parameters, vocabulary {}", printable(report.config),
                                     format_count(static_cast<double>(result.work.parameters)),
                                     report.vocabulary)) +
         line("computed by", fmt::format("{} kernels, {}, threads: {}", report.backend,
                                         name_of(report.precision), report.threads)) +
         line("limits", peak_text(report)) +
         line("", gigabytes(result.limits.weights_rate, result.work.weight_bytes) +
                      ", as a written token does") +
         line("", gigabytes(result.limits.memory_rate, result.limits.memory_bytes)) + "\n" +
         times_text(report) + "\n" + rates_text(result);
}

std::string as_json(const BenchReport& report) {
  const BenchmarkResult& result = report.result;
  const BenchmarkTimes& times = result.times;
  Json phases;
  for (std::size_t phase = 0; phase < kPhaseKeys.size(); ++phase) {
    phases[std::string(kPhaseKeys[phase])] = 1000 * times.phases[phase];
  }
  const Json facts = {
      {"config", printable(report.config)},
      {"train_tokens_per_second", result.train_tokens_per_second()},
      {"eval_tokens_per_second", result.eval_tokens_per_second()},
      {"generate_tokens_per_second", result.generate_tokens_per_second()},
      {"train_flops_per_second", result.train_flops_per_second()},
      {"eval_flops_per_second", result.eval_flops_per_second()},
      {"peak_flops_per_second", result.limits.product_peak},
      {"generate_bytes_per_second", result.generate_bytes_per_second()},
      {"weights_bytes_per_second", result.limits.weights_rate},
      {"memory_bytes_per_second", result.limits.memory_rate},
      {"precision", name_of(report.precision)},
      {"weights", name_of(report.weights)},
      {"backend", report.backend},
      {"peak_instructions", peak_instructions(result.limits)},
      {"threads", report.threads},
      {"parameters", result.work.parameters},
      {"vocab_size", report.vocabulary},
      {"batch_size", report.batch_size},
      {"tokens_per_sample", report.tokens_per_sample},
      {"accumulate_steps", report.accumulate_steps},
      {"context_tokens", report.context_tokens},
      {"carry_context", report.carry_context},
      {"forward_flop_per_token", result.work.flop_per_token},
      {"weight_bytes_per_token", result.work.weight_bytes},
      {"read_bytes_per_token", times.token_read_bytes},
      {"memory_bytes", result.limits.memory_bytes},
      {"train_ms", {{"step", 1000 * times.step}, {"phases", phases}, {"repeats", times.steps}}},
      {"eval_ms",
       {{"window", 1000 * times.window},
        {"window_tokens", result.work.window_tokens},
        {"hidden", 1000 * times.window_hidden},
        {"softmax", 1000 * softmax_seconds(times)},
        {"repeats", times.windows}}},
      {"generate_ms",
       {{"token", 1000 * times.token},
        {"hidden", 1000 * times.token_hidden},
        {"softmax", 1000 * times.token_softmax},
        {"draw", 1000 * times.token_draw},
        {"repeats", times.tokens}}},
      {"version", SLUICE_VERSION},
  };
  return facts.dump() + "\n";
}

}  // namespace sluice::cli
