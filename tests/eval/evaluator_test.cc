#include "sluice/eval/evaluator.h"

#include <catch2/catch.hpp>

#include "tests/support/tiny_run.h"

namespace sluice::eval {
namespace {

TEST_CASE("StreamEvaluator: how the tokens arrive makes no difference", "[eval]") {
  testing::TinyRun run;
  for (int i = 0; i < 100; ++i) run.valid_text += "the fox and the dog are quick\n";
  run.prepare();
  const auto model = run.new_model();
  std::vector<int> ids(run.text->valid.size());
  run.text->valid.read(0, ids);
  REQUIRE(ids.size() > 2 * static_cast<std::size_t>(kWindow));
  const auto nats = [&](std::size_t piece) {
    StreamEvaluator evaluator(*model, run.text->permutation, run.text->tokenizer->end_of_line());
    for (std::size_t at = 0; at < ids.size(); at += piece) {
      CHECK(evaluator.add(std::span(ids).subspan(at, std::min(piece, ids.size() - at)), {}));
    }
    CHECK(evaluator.finish());
    CHECK(evaluator.totals().tokens == ids.size());
    return evaluator.totals().nats;
  };
  for (const std::size_t piece : {7u, 1024u, 5000u}) CHECK(nats(piece) == nats(1));
}

TEST_CASE("make_evaluator: a stop is final", "[eval]") {
  testing::TinyRun run;
  run.prepare();
  const auto model = run.new_model();
  for (const text::Mode mode : {text::Mode::kStream, text::Mode::kLines}) {
    const auto evaluator =
        make_evaluator(mode, *model, run.text->permutation, run.text->tokenizer->end_of_line(),
                       [](std::uint64_t) { return false; });
    const std::vector<int> ids(3000, run.text->tokenizer->end_of_line() + 1);
    CHECK_FALSE(evaluator->add(ids, {}));
    const std::uint64_t tokens = evaluator->totals().tokens;
    CHECK_FALSE(evaluator->add(ids, {}));
    CHECK_FALSE(evaluator->finish());
    CHECK(evaluator->totals().tokens == tokens);
  }
}

}  // namespace
}  // namespace sluice::eval
