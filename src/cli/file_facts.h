#pragma once

#include <optional>
#include <string>

#include "sluice/config/open_model.h"

namespace sluice::cli {

// How facts are printed: `key value` lines, or one JSON object.
enum class Form { kText, kJson };

// What `info` says of each kind of file. Errors as whatever opens them.
std::string model_facts(const std::string& path, Form form);
// A run: how far it is, and the model that `which` names; without one the best, else the last.
std::string run_facts(const std::string& path, std::optional<config::Which> which, Form form);
std::string token_file_facts(const std::string& path, Form form);
// TOKENIZER: a tokenizer's own file, or a model or run that has one.
std::string tokenizer_facts(const std::string& path, Form form);

}  // namespace sluice::cli
