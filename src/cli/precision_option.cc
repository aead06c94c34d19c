#include "src/cli/precision_option.h"

#include <spdlog/spdlog.h>

#include "sluice/base/error.h"
#include "sluice/base/nearest_name.h"
#include "sluice/base/printable.h"

namespace sluice::cli {

PrecisionChoice parse_precision(const std::string& text) {
  if (text == "auto") return std::nullopt;
  for (const auto& [precision, name] : enum_names<kernels::Precision>) {
    if (name == text) return precision;
  }
  std::vector<std::string_view> names = names_of<kernels::Precision>();
  names.insert(names.begin(), "auto");
  throw Error(ExitCode::kUsage, "--precision: expected one of {}, found {}{}",
              comma_separated(names), quote(text), did_you_mean(text, names));
}

kernels::Precision settle_precision(const PrecisionChoice& choice, kernels::InstructionSet set) {
  const kernels::Precision precision = choice.value_or(kernels::automatic_precision(set));
  kernels::check_precision(set, precision);
  if (!kernels::is_native(set, precision)) {
    spdlog::warn(
        "precision {} is emulated by the {} kernels, slower than f32: this CPU has no AMX, or "
        "SLUICE_ISA leaves it out",
        name_of(precision), name_of(set));
  }
  return precision;
}

}  // namespace sluice::cli
