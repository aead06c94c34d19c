#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sluice/text/text_config.h"
#include "src/cli/options.h"

namespace sluice::cli {

// The options by which a command is given text in place of the config's.
struct TextArguments {
  std::vector<std::string> train, valid;
  std::optional<std::string> invalid_utf8;
};

void add_text_arguments(CLI::App& command, TextArguments& arguments);
void add_invalid_utf8(CLI::App& command, std::optional<std::string>& value,
                      const std::string& fallback);

// On top of a config's `data`; then patterns become the files that match, and paths absolute, so
// that a run finds its text again from anywhere. Error kUsage; kNoInput when nothing matches.
void apply_text_arguments(const TextArguments& arguments, text::DataConfig& data);

// Error kUsage: neither error, replace nor bytes.
std::optional<text::InvalidUtf8> parse_invalid_utf8(const std::optional<std::string>& value);

// An empty path stays one, for check_config() to refuse; so does "-".
std::string absolute_path(const std::string& path);

}  // namespace sluice::cli
