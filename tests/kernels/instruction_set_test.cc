#include "sluice/kernels/instruction_set.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

#include "src/kernels/simd/simd_backend.h"
#include "tests/support/error_check.h"
#include "tests/support/simd_kernels.h"

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
                             InstructionSet::kAvx512, InstructionSet::kNeon, InstructionSet::kAmx};

// Of floats AMX has no products of its own.
std::string_view name_in_f32(InstructionSet set) {
  return name_of(set == InstructionSet::kAmx ? InstructionSet::kAvx512 : set);
}

}  // namespace

TEST_CASE("InstructionSet: the reference is the slowest of those that can run", "[kernels]") {
  const auto sets = supported_instruction_sets();
  REQUIRE(!sets.empty());
  CHECK(sets.back() == InstructionSet::kReference);
  CHECK(std::count(sets.begin(), sets.end(), InstructionSet::kReference) == 1);
  CHECK(std::find(sets.begin(), sets.end(), InstructionSet::kAvx512) <=
        std::find(sets.begin(), sets.end(), InstructionSet::kAvx2));
  CHECK(std::find(sets.begin() + 1, sets.end(), InstructionSet::kAmx) == sets.end());
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
    CHECK(make_backend(pool)->name() == name_in_f32(set));
    CHECK(make_backend(pool, set, RowUpdates::kDense)->name() == name_in_f32(set));
    CHECK(make_backend(pool)->precision() == Precision::kF32);
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
    if (set == InstructionSet::kReference) continue;
    testing::check_error(ExitCode::kUsage, {std::string(name_of(set))},
                         [&] { make_backend(pool, set, Precision::kBf16); });
  }
}

TEST_CASE("Precision: has the names of the config", "[kernels]") {
  CHECK(sluice::name_of(Precision::kF32) == "f32");
  CHECK(sluice::name_of(Precision::kBf16) == "bf16");
  CHECK(sluice::name_of(Precision::kBf16x3) == "bf16x3");
  CHECK(products_for_one(Precision::kBf16) == 1);
  CHECK(products_for_one(Precision::kBf16x3) == 3);
}

TEST_CASE("automatic_precision: bf16 where it has instructions", "[kernels]") {
  for (const InstructionSet set : kAll) {
    const bool tiles = set == InstructionSet::kAmx;
    CHECK(automatic_precision(set) == (tiles ? Precision::kBf16 : Precision::kF32));
    CHECK(is_native(set, Precision::kF32));
    CHECK(is_native(set, Precision::kBf16) == tiles);
    CHECK(is_native(set, Precision::kBf16x3) == tiles);
  }
  const Wanted plain("reference");
  CHECK(automatic_precision() == Precision::kF32);
}

TEST_CASE("make_backend: every vector set computes in every precision", "[kernels]") {
  ThreadPool pool(1);
  for (const InstructionSet set : supported_instruction_sets()) {
    if (set == InstructionSet::kReference) continue;
    const Wanted wanted(std::string(name_of(set)).c_str());
    for (const Precision precision : {Precision::kBf16, Precision::kBf16x3}) {
      CHECK_NOTHROW(check_precision(set, precision));
      const auto backend = make_backend(pool, set, precision, RowUpdates::kDense);
      CHECK(backend->precision() == precision);
      CHECK(backend->name() == name_of(set));
      CHECK(make_backend(pool, precision)->precision() == precision);
    }
  }
}

#if defined(__x86_64__) && defined(__linux__)
TEST_CASE("make_backend: on tiles of the CPU it is called amx, emulated by its kernels' name",
          "[kernels]") {
  ThreadPool pool(1);
  for (const simd::Kernels* kernels : testing::simd_kernels()) {
    const auto named = [&](const simd::TileKernels& tiles) {
      return simd::make_tile_backend(pool, *kernels, tiles, Precision::kBf16, RowUpdates::kLazy)
          ->name();
    };
    CHECK(named(simd::unchecked_amx_kernels()) == "amx");
    CHECK(named(kernels->tiles) == name_of(kernels->set));
  }
}
#endif

TEST_CASE("make_backend: the plain kernels refuse all but f32", "[kernels]") {
  ThreadPool pool(1);
  const InstructionSet plain = InstructionSet::kReference;
  CHECK(make_backend(pool, plain, Precision::kF32)->precision() == Precision::kF32);
  std::vector<std::string> said = {"precision bf16x3", "found reference"};
  for (const InstructionSet set : supported_instruction_sets()) {
    if (set != plain) said.emplace_back(name_of(set));
  }
  testing::check_error(ExitCode::kUsage, said,
                       [&] { make_backend(pool, plain, Precision::kBf16x3); });
  testing::check_error(ExitCode::kUsage, said, [&] { check_precision(plain, Precision::kBf16x3); });
}

}  // namespace sluice::kernels
