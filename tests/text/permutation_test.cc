#include "sluice/text/permutation.h"

#include <catch2/catch.hpp>
#include <vector>

#include "sluice/base/error.h"

using namespace sluice;
using text::Permutation;

TEST_CASE("Permutation: most frequent first, ties by tokenizer id", "[text]") {
  const std::vector<std::uint64_t> counts = {3, 0, 7, 3, ~0ULL, 0};
  const auto permutation = Permutation::by_frequency(counts);
  CHECK(permutation.model_ids() == std::vector<int>{2, 4, 1, 3, 0, 5});
  for (int id = 0; id < permutation.size(); ++id) {
    CHECK(permutation.to_tokenizer(permutation.to_model(id)) == id);
  }
}

TEST_CASE("Permutation: ties keep their order in large vocabularies too", "[text]") {
  std::vector<std::uint64_t> counts(1000, 5);
  counts[999] = 6;
  const auto permutation = Permutation::by_frequency(counts);
  CHECK(permutation.to_model(999) == 0);
  for (int id = 0; id < 999; ++id) REQUIRE(permutation.to_model(id) == id + 1);
}

TEST_CASE("Permutation: only permutations are taken", "[text]") {
  CHECK(Permutation({2, 0, 1}).to_tokenizer(2) == 0);
  CHECK(Permutation().size() == 0);
  for (const std::vector<int>& bad : {std::vector<int>{1}, {-1, 0}, {0, 0}, {0, 2, 2}, {0, 1, 3}}) {
    try {
      Permutation{bad};
      FAIL("taken");
    } catch (const Error& error) {
      CHECK(error.code() == ExitCode::kBadData);
    }
  }
}
