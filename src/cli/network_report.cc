#include "src/cli/network_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/train/progress.h"

namespace sluice::cli {
namespace {

using Json = nlohmann::ordered_json;
using model::Part;
using model::SummaryRow;
using train::format_count;

constexpr std::array kParts = {std::pair{Part::kEmbedding, "embedding"},
                               std::pair{Part::kBody, "body"}, std::pair{Part::kOutput, "output"}};
constexpr Index kBytes = 256;

Index vocabulary_of(const config::Config& config) {
  if (const auto words = known_vocabulary(config)) return *words;
  throw Error(ExitCode::kUsage,
              "tokenizer.vocab_size: not known without a text (expected a number, found \"auto\"); "
              "give it with --vocab N");
}

bool is_table(const SummaryRow& row) {
  const bool narrowing = row.name.ends_with(".projection");
  return row.part == Part::kEmbedding ||
         (row.part == Part::kOutput && !narrowing && row.name != "output_projection");
}

bool is_norm(const SummaryRow& row) { return row.name.ends_with("norm"); }

// As the weights are stored: [words, width], [taps, in, columns] of a product, [channels] of a
// norm.
std::vector<Index> shape_of(const SummaryRow& row) {
  if (is_norm(row)) return {row.out};
  if (row.part == Part::kEmbedding) return {row.in, row.out};
  if (is_table(row)) return {row.out, row.in};
  return {row.kernel, row.in, row.paired ? 2 * row.out : row.out};
}

bool has_tails(const model::Summary& summary) { return summary.rows.back().tail >= 0; }

bool has_norms(const model::Summary& summary) {
  return std::any_of(summary.rows.begin(), summary.rows.end(), is_norm);
}

Json describe(const SummaryRow& row) {
  return {{"name", row.name},
          {"shape", shape_of(row)},
          {"kernel", row.kernel},
          {"dilation", row.dilation},
          {"in", row.in},
          {"out", row.out},
          {"parameters", row.parameters},
          {"receptive_field", row.receptive_field},
          {"flop_per_token", 2 * row.multiply_adds}};
}

}  // namespace

std::optional<Index> known_vocabulary(const config::Config& config) {
  if (config.tokenizer.type == text::TokenizerType::kByte) return kBytes;
  return config.tokenizer.vocab_size;
}

double flop(Index multiply_adds) { return 2 * static_cast<double>(multiply_adds); }

std::string parts_text(const model::Summary& summary) {
  std::string text;
  for (const auto& [part, name] : kParts) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name,
                        format_count(static_cast<double>(summary.parameters(part))));
  }
  return text;
}

NetworkReport report_network(const std::string& name, config::Config config,
                             std::optional<Index> vocabulary) {
  const train::TrainConfig& limits = config.train;
  // How long a run would be does not matter here; whether the sizes are sane does.
  if (!limits.max_steps && !limits.max_epochs && !limits.max_time) config.train.max_steps = 1;
  check_config(config);
  const Index words = vocabulary ? *vocabulary : vocabulary_of(config);
  return {.name = name,
          .vocabulary = words,
          .model = config.model,
          .summary = model::summarise(config.model, words)};
}

std::string as_text(const NetworkReport& report) {
  const model::Summary& summary = report.summary;
  const auto line = [](const auto& name, const auto& shape, const auto& parameters,
                       const auto& field, const auto& work) {
    return fmt::format("{:<28}{:<20}{:>12}{:>7}{:>12}\n", name, shape, parameters, field, work);
  };
  std::string text = fmt::format("config             {}\nvocabulary         {}\n\n",
                                 printable(report.name), report.vocabulary);
  text += line("layer", "shape", "parameters", "field", "FLOP/token");
  for (const SummaryRow& row : summary.rows) {
    std::string shape = fmt::format("[{}]", fmt::join(shape_of(row), ", "));
    if (row.dilation > 1) shape += fmt::format(" /{}", row.dilation);
    text += line(row.name, shape, row.parameters, row.receptive_field,
                 format_count(flop(row.multiply_adds)));
  }
  text += line("total", "", summary.parameters(), model::receptive_field(report.model),
               format_count(flop(summary.multiply_adds())));
  text += fmt::format("\nparameters         {}\n", parts_text(summary));
  text +=
      "field              tokens that an output sees\n"
      "shape              [words, width] or [taps, in, columns] /dilation\n";
  if (has_norms(summary)) text += "                   [channels] of a norm\n";
  text += "FLOP/token         forward, 2 for each multiply-add of a product";
  text +=
      has_tails(summary)
          ? ";\n                   head and all tails, as for a whole distribution: in training\n"
            "                   a tail costs only where the target is in it\n"
          : "\n";
  return text;
}

std::string as_json(const NetworkReport& report) {
  const model::Summary& summary = report.summary;
  Json parameters, layers = Json::array();
  for (const auto& [part, name] : kParts) parameters[name] = summary.parameters(part);
  parameters["total"] = summary.parameters();
  for (const SummaryRow& row : summary.rows) layers.push_back(describe(row));
  const Json facts = {{"config", printable(report.name)},
                      {"kind", "network"},
                      {"vocab_size", report.vocabulary},
                      {"parameters", parameters},
                      {"receptive_field", model::receptive_field(report.model)},
                      {"flop_per_token", 2 * summary.multiply_adds()},
                      {"flop_counts", has_tails(summary) ? "all tails" : "all words"},
                      {"layers", layers}};
  return facts.dump() + "\n";
}

}  // namespace sluice::cli
