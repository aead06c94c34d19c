#pragma once

#include <optional>
#include <string>

#include "sluice/config/config.h"
#include "sluice/model/summary.h"

// A network layer by layer, from its config alone.
namespace sluice::cli {

struct NetworkReport {
  std::string name;  // of the config
  Index vocabulary = 0;
  model::ModelConfig model;
  model::Summary summary;
};

// Error kUsage when the vocabulary is not known from `vocabulary` or the config, when the config is
// inconsistent, or as model::summarise().
NetworkReport report_network(const std::string& name, config::Config config,
                             std::optional<Index> vocabulary);

// Words that a network will have, as far as its config alone tells.
std::optional<Index> known_vocabulary(const config::Config& config);

// At most 80 columns.
std::string as_text(const NetworkReport& report);
std::string as_json(const NetworkReport& report);

// FLOP of forward: two for each multiply-add.
double flop(Index multiply_adds);
// Parameters of a part, or of all of them, as "embedding 75.0M, body 102.1M, output 52.2M".
std::string parts_text(const model::Summary& summary);

}  // namespace sluice::cli
