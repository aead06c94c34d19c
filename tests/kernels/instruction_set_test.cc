#include "sluice/kernels/instruction_set.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

#include "tests/support/error_check.h"

namespace sluice::kernels {
namespace {

// SLUICE_ISA for the time of a test; null: not set.
class Wanted {
 public:
  explicit Wanted(const char* value) {
    if (const char* before = std::getenv("SLUICE_ISA")) before_ = before;
    set(value);
  }
  ~Wanted() { set(before_ ? before_->c_str() : nullptr); }
  Wanted(const Wanted&) = delete;
  Wanted& operator=(const Wanted&) = delete;

 private:
  static void set(const char* value) {
    value != nullptr ? ::setenv("SLUICE_ISA", value, 1) : ::unsetenv("SLUICE_ISA");
  }
  std::optional<std::string> before_;
};

constexpr std::array kAll = {InstructionSet::kReference, InstructionSet::kAvx2,
                             InstructionSet::kAvx512, InstructionSet::kNeon};

}  // namespace

TEST_CASE("InstructionSet: the reference is the slowest of those that can run", "[kernels]") {
  const auto sets = supported_instruction_sets();
  REQUIRE(!sets.empty());
  CHECK(sets.back() == InstructionSet::kReference);
  CHECK(std::count(sets.begin(), sets.end(), InstructionSet::kReference) == 1);
  CHECK(std::find(sets.begin(), sets.end(), InstructionSet::kAvx512) <=
        std::find(sets.begin(), sets.end(), InstructionSet::kAvx2));
}

TEST_CASE("InstructionSet: the fastest is chosen unless SLUICE_ISA names another", "[kernels]") {
  const auto sets = supported_instruction_sets();
  {
    const Wanted unset(nullptr);
    CHECK(chosen_instruction_set() == sets.front());
  }
  {
    const Wanted empty("");
    CHECK(chosen_instruction_set() == sets.front());
  }
  ThreadPool pool(1);
  for (const InstructionSet set : sets) {
    const Wanted wanted(std::string(name_of(set)).c_str());
    CHECK(chosen_instruction_set() == set);
    CHECK(make_backend(pool)->name() == name_of(set));
    CHECK(make_backend(pool, set, RowUpdates::kDense)->name() == name_of(set));
  }
}

TEST_CASE("InstructionSet: what cannot run here is refused", "[kernels]") {
  {
    const Wanted mistyped("referense");
    testing::check_error(
        ExitCode::kUsage,
        {"SLUICE_ISA", "no such", "reference, found \"referense\"", "did you mean \"reference\"?"},
        [] { chosen_instruction_set(); });
  }
  const auto sets = supported_instruction_sets();
  ThreadPool pool(1);
  for (const InstructionSet set : kAll) {
    if (std::find(sets.begin(), sets.end(), set) != sets.end()) continue;
    const Wanted wanted(std::string(name_of(set)).c_str());
    testing::check_error(ExitCode::kUsage, {"SLUICE_ISA", "this CPU", std::string(name_of(set))},
                         [] { chosen_instruction_set(); });
    testing::check_error(ExitCode::kUsage, {std::string(name_of(set))},
                         [&] { make_backend(pool, set); });
  }
}

}  // namespace sluice::kernels
