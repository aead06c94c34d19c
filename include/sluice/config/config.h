#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config/check.h"
#include "sluice/model/model_config.h"
#include "sluice/optim/optim_config.h"
#include "sluice/text/text_config.h"
#include "sluice/train/train_config.h"

namespace sluice::config {

// Everything that a run is made of. DESIGN 7; each component receives its own part, never the
// whole.
struct Config {
  text::DataConfig data;
  text::TokenizerConfig tokenizer;
  model::ModelConfig model;
  optim::OptimizerConfig optimizer;
  optim::ScheduleConfig schedule;
  train::TrainConfig train;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("data", self.data, Range{}, "text");
    visit("tokenizer", self.tokenizer, Range{}, "tokens");
    visit("model", self.model, Range{}, "network");
    visit("optimizer", self.optimizer, Range{}, "optimiser");
    visit("schedule", self.schedule, Range{}, "learning rate over the run");
    visit("train", self.train, Range{}, "the run");
  }
  bool operator==(const Config&) const = default;
};

// Strict reading: JSON object with // and /* */ comments, at most 1 MB and 32 levels; unknown or
// duplicate keys, wrong types and values out of range are Error kUsage naming the key path, what
// was expected and found, and the nearest valid key. Keys that are absent keep their defaults.
Config parse_config(std::string_view json, const std::string& source);

// A preset's name or a file's path: what is no preset is a path when it contains '/' or ends in
// ".json". Error kNoInput when the file cannot be read, kUsage when there is no such preset.
Config load_config(const std::string& preset_or_path);

// One `--set a.b.0.c=VALUE`; VALUE is JSON, a bare word is a string. An object changes only the
// keys that it names. Error kUsage, the config unchanged.
void set_config_key(Config& config, std::string_view assignment);

// Complete, ordered, pretty-printed JSON: parse_config(to_json(c)) == c, bit for bit.
// Error kUsage when a string is not UTF-8.
std::string to_json(const Config& config);

// Key paths whose values differ, e.g. "train.max_steps".
std::vector<std::string> differing_keys(const Config& a, const Config& b);

// The value of such a key path as JSON on one short line, for "expected" and "found".
std::string value_of_key(const Config& config, std::string_view path);

// The first key in which the networks of two configs differ, with its values; dropout is none, it
// has no weights and is no part of a network that has been trained.
struct Difference {
  std::string key, expected, found;
};
std::optional<Difference> network_difference(const Config& expected, const Config& found);

// Presets compiled in from configs/; those of a folder in it are named "folder/name".
struct Preset {
  std::string_view name, text;
};
const std::vector<Preset>& presets();
// First comment line of the preset's text.
std::string preset_summary(const Preset& preset);

}  // namespace sluice::config
