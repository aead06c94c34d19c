// Rows of a table that nobody reads are stepped later, to the same bits.
#include <catch2/catch.hpp>

#include "sluice/kernels/instruction_set.h"
#include "tests/support/tiny_model.h"
#include "tests/support/weights_bench.h"

namespace sluice::kernels {
namespace {

constexpr Index kWords = 90, kWidth = 37, kTokens = 12;

// An embedding in training: ids are looked up, and their rows get a gradient.
struct Subject {
  Subject(InstructionSet set, RowUpdates updates)
      : backend(make_backend(pool, set, updates)),
        table(*backend, TableShape{.rows = kWords, .width = kWidth}, false) {
    const RowMap map = {.sequences = 1, .time = kTokens, .context = 0};
    out = backend->activations(map, kWidth, Form::kOperand);
    dz = backend->activations(map, kWidth, Form::kProduct);
    junction.dropped = out.get();
    table.set_values(testing::normal_values(kWords * kWidth, 1, 0.1));
    backend->load(table.weights(), Array::kAverage, table.read(Array::kValue, kWords * kWidth));
    backend->refresh(table.weights());
  }
  // What is read, and the norm of the gradient.
  std::pair<std::vector<Real>, double> step(std::uint64_t number, const UpdateRule& rule,
                                            int batches) {
    std::vector<Real> seen(kTokens * kWidth);
    for (int batch = 0; batch < batches; ++batch) {
      const auto ids = words(2 * number + static_cast<std::uint64_t>(batch));
      backend->embed(table.weights(), ids, junction);
      backend->store(*out, seen);
      backend->load(*dz, testing::normal_values(kTokens * kWidth, number, 1));
      backend->embed_backward(*dz, ids, table.weights());
    }
    const double norm = backend->squared_norm(table.weights());
    if (number % 50 == 17) {
      backend->discard_gradient(table.weights());
    } else {
      backend->update(table.weights(), rule);
    }
    return {seen, norm};
  }
  // An array of v as it stands in memory, in whatever order, and how many of its numbers are others
  // now.
  std::vector<Real> memory(Array array) const {
    const Real* values = table.weights().v()[array];
    return {values, values + backend->elements(TableShape{.rows = kWords, .width = kWidth})};
  }
  Index changes(Array array, const std::vector<Real>& before) const {
    const auto now = memory(array);
    Index count = 0;
    for (std::size_t i = 0; i < now.size(); ++i) count += now[i] != before[i] ? 1 : 0;
    return count;
  }
  // As in a text: few words often, most of them rarely, some never.
  static std::vector<int> words(std::uint64_t number) {
    std::vector<int> ids(kTokens);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const double u = uniform_at(derive_key(9, "words"), number * kTokens + i);
      ids[i] = static_cast<int>(80 * u * u * u * u);
    }
    return ids;
  }

  ThreadPool pool{2};
  std::unique_ptr<Backend> backend;
  testing::WeightsBench table;
  std::unique_ptr<Activations> out, dz;
  Junction junction;
};

}  // namespace

TEST_CASE("Table update: lazy rows have the bits of dense ones after 3,000 steps", "[kernels]") {
  const auto set = GENERATE(from_range(supported_instruction_sets()));
  INFO(name_of(set));
  const auto kind = GENERATE(UpdateKind::kSgd, UpdateKind::kNag);
  const double decay = GENERATE(0.0, 0.01);
  const double average = GENERATE(0.0, 0.02);
  INFO(static_cast<int>(kind) << ", decay " << decay << ", average " << average);
  Subject lazy(set, RowUpdates::kLazy), dense(set, RowUpdates::kDense);
  UpdateRule rule = {.kind = kind,
                     .scale = 0.1,
                     .momentum = 0.9,
                     .beta2 = 0.99,
                     .eps = 1e-8,
                     .matrix_decay = decay,
                     .average = average};
  const auto equal = [&](Array array) {
    return lazy.table.read(array, kWords * kWidth) == dense.table.read(array, kWords * kWidth);
  };
  // More steps than may be owed at once; values are compared in between, which catches up.
  for (std::uint64_t number = 1; number <= 3000; ++number) {
    rule.step = static_cast<std::int64_t>(number);
    rule.lr = 0.01 / static_cast<double>(1 + number % 7);
    const int batches = number % 3 == 0 ? 2 : 1;
    REQUIRE(lazy.step(number, rule, batches) == dense.step(number, rule, batches));
    if (number == 700 || number == 701 || number == 2500) REQUIRE(equal(Array::kValue));
  }
  CHECK(equal(Array::kState0));
  CHECK(equal(Array::kState1));
  CHECK(equal(Array::kAverage));
  CHECK(equal(Array::kValue));
}

TEST_CASE("Table update: adam steps every row, read or not", "[kernels]") {
  const auto set = GENERATE(from_range(supported_instruction_sets()));
  INFO(name_of(set));
  Subject s(set, RowUpdates::kLazy);
  const UpdateRule rule = {
      .kind = UpdateKind::kAdam, .lr = 0.1, .momentum = 0.9, .beta2 = 0.99, .eps = 1e-8};
  s.step(1, rule, 1);
  const auto before = s.memory(Array::kState0);
  const std::vector<int> none(kTokens, 89);
  s.backend->embed_backward(*s.dz, none, s.table.weights());
  s.backend->update(s.table.weights(), rule);
  CHECK(s.changes(Array::kState0, before) > kWidth);  // more than the one row with a gradient
}

TEST_CASE("Table update: a gradient from outside replaces that of all rows", "[kernels]") {
  const auto set = GENERATE(from_range(supported_instruction_sets()));
  INFO(name_of(set));
  Subject s(set, RowUpdates::kLazy);
  s.backend->load(*s.dz, testing::normal_values(kTokens * kWidth, 5, 1));
  s.backend->embed_backward(*s.dz, s.words(1), s.table.weights());
  const auto gradient = testing::normal_values(kWords * kWidth, 6, 1);
  s.backend->load(s.table.weights(), Array::kGradient, gradient);
  CHECK(s.table.read(Array::kGradient, kWords * kWidth) == gradient);
}

TEST_CASE("Table update: rows that nobody read stay as they were until they are read",
          "[kernels]") {
  const auto set = GENERATE(from_range(supported_instruction_sets()));
  INFO(name_of(set));
  Subject s(set, RowUpdates::kLazy);
  const UpdateRule rule = {.lr = 0.1, .scale = 0.1, .momentum = 0.9};
  s.step(1, rule, 1);
  const std::vector<int> none(kTokens, 89);
  const auto before = s.memory(Array::kValue);
  for (int i = 0; i < 5; ++i) {
    s.backend->embed(s.table.weights(), none, s.junction);
    s.backend->load(*s.dz, testing::normal_values(kTokens * kWidth, 5, 1));
    s.backend->embed_backward(*s.dz, none, s.table.weights());
    s.backend->update(s.table.weights(), rule);
  }
  CHECK(s.changes(Array::kValue, before) == kWidth);  // the momentum of the first step is owed
  s.backend->catch_up(s.table.weights());
  CHECK(s.changes(Array::kValue, before) > kWidth);
}

}  // namespace sluice::kernels
