#pragma once

#include <optional>
#include <string>

#include "sluice/kernels/instruction_set.h"
#include "src/cli/enum_option.h"
#include "src/cli/options.h"

// --precision, of the commands that multiply matrices.
namespace sluice::cli {

// As in the config: none stands for "auto".
using PrecisionChoice = std::optional<kernels::Precision>;

// Text: std::string, which holds the default, or std::optional of it.
template <class Text>
void add_precision(CLI::App& command, Text& value, const std::string& help) {
  add_option(command, "--precision", value, "auto|" + enum_choices<kernels::Precision>(), help);
}
// Error kUsage.
PrecisionChoice parse_precision(const std::string& text);

// What to compute in with these kernels. Error kUsage where they cannot; says so where they can do
// it no faster than f32.
kernels::Precision settle_precision(const PrecisionChoice& choice, kernels::InstructionSet set);

}  // namespace sluice::cli
