#include "sluice/kernels/instruction_set.h"

#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/nearest_name.h"
#include "sluice/base/printable.h"
#include "vector_backend.h"

namespace sluice::kernels {
namespace {

using std::literals::operator""sv;

// Fastest first.
constexpr std::array kSets = {
    std::pair{InstructionSet::kAmx, "amx"sv}, std::pair{InstructionSet::kAvx512, "avx512"sv},
    std::pair{InstructionSet::kAvx2, "avx2"sv}, std::pair{InstructionSet::kNeon, "neon"sv},
    std::pair{InstructionSet::kReference, "reference"sv}};

bool is_supported(InstructionSet set) {
  return set == InstructionSet::kReference || has_vector_kernels(set);
}

// Error kUsage.
InstructionSet parse_supported(std::string_view wanted) {
  std::vector<std::string_view> names;
  bool known = false;
  for (const auto& [set, name] : kSets) {
    if (is_supported(set)) {
      if (name == wanted) return set;
      names.push_back(name);
    }
    known = known || name == wanted;
  }
  throw Error(ExitCode::kUsage, "SLUICE_ISA: {} (expected one of {}, found {}){}",
              known ? "this CPU, or this build, does not have these instructions"
                    : "no such instruction set",
              comma_separated(names), quote(wanted), known ? "" : did_you_mean(wanted, names));
}

}  // namespace

std::string_view name_of(InstructionSet set) {
  for (const auto& [known, name] : kSets) {
    if (known == set) return name;
  }
  return "";
}

std::vector<InstructionSet> supported_instruction_sets() {
  std::vector<InstructionSet> sets;
  for (const auto& [set, name] : kSets) {
    if (is_supported(set)) sets.push_back(set);
  }
  return sets;
}

InstructionSet chosen_instruction_set() {
  const char* wanted = std::getenv("SLUICE_ISA");
  if (wanted != nullptr && *wanted != '\0') return parse_supported(wanted);
  return supported_instruction_sets().front();
}

Precision automatic_precision(InstructionSet set) {
  return is_native(set, Precision::kBf16) ? Precision::kBf16 : Precision::kF32;
}

Precision automatic_precision() { return automatic_precision(chosen_instruction_set()); }

bool is_native(InstructionSet set, Precision precision) {
  return precision == Precision::kF32 || set == InstructionSet::kAmx;
}

void check_precision(InstructionSet set, Precision precision) {
  if (precision == Precision::kF32 || set != InstructionSet::kReference) return;
  std::vector<std::string_view> able;
  for (const InstructionSet each : supported_instruction_sets()) {
    if (each != InstructionSet::kReference) able.push_back(name_of(each));
  }
  throw Error(ExitCode::kUsage,
              "precision {}: the plain kernels compute in f32 alone (expected those of {}, found "
              "{}){}",
              sluice::name_of(precision),
              able.empty() ? "a CPU with AVX2, AVX-512, AMX or NEON" : comma_separated(able),
              name_of(set), able.empty() ? "" : "; SLUICE_ISA names them");
}

std::unique_ptr<Backend> make_backend(ThreadPool& pool, InstructionSet set, Precision precision,
                                      RowUpdates updates) {
  check_precision(set, precision);
  if (set == InstructionSet::kReference) return make_reference_backend(pool, updates);
  if (!has_vector_kernels(set)) {
    throw Error(ExitCode::kUsage, "{}: this CPU, or this build, does not have these instructions",
                name_of(set));
  }
  return make_vector_backend(pool, set, precision, updates);
}

std::unique_ptr<Backend> make_backend(ThreadPool& pool, InstructionSet set, RowUpdates updates) {
  return make_backend(pool, set, Precision::kF32, updates);
}

std::unique_ptr<Backend> make_backend(ThreadPool& pool, Precision precision) {
  return make_backend(pool, chosen_instruction_set(), precision);
}

}  // namespace sluice::kernels
