#include "sluice/eval/line_evaluator.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::eval {
namespace {

using testing::TinyRun;

// Lines of all lengths, some longer than a window, empty ones, an unseen form, no last line end.
struct Fixture {
  Fixture() {
    const std::string words = "the quick brown fox jumps over the lazy dog and sleeps ";
    for (std::size_t i = 0; i < 120; ++i) {
      run.valid_text += words.substr(0, i * 7 % words.size()) + "\n";
      if (i % 40 == 20) {
        for (std::size_t k = 0; k < 20 + i; ++k) run.valid_text += words;
        run.valid_text += "\n\n";
      }
    }
    run.valid_text.append(1023, 'o') += '\n';
    run.valid_text.append(1024, 'o') += '\n';
    run.valid_text += "caf\u00E9";
    run.config.model = testing::full_config();
    run.config.data.mode = text::Mode::kLines;
    run.prepare();
    model = run.new_model();
    testing::stir_parameters(model->parameters(), 2);
  }
  int end_of_line() const { return run.text->tokenizer->end_of_line(); }
  std::vector<int> ids() const {
    std::vector<int> all(run.text->valid.size());
    run.text->valid.read(0, all);
    return all;
  }
  // The sum over all lines of what each costs alone, in one pass; their tokens squared too.
  Totals by_hand() const {
    const text::Permutation& permutation = run.text->permutation;
    Totals totals;
    std::vector<int> inputs = {permutation.to_model(end_of_line())}, targets;
    for (const int id : ids()) {
      targets.push_back(permutation.to_model(id));
      if (id == end_of_line()) {
        const auto state = model->state(1, static_cast<Index>(targets.size()), false);
        model->forward(inputs, targets, *state);
        for (const double nats : model->nats(*state)) {
          totals.nats += nats;
          totals.squared_nats += nats * nats;
          ++totals.tokens;
        }
        inputs.clear();
        targets.clear();
      }
      inputs.push_back(permutation.to_model(id));
    }
    return totals;
  }
  Totals of_file(const std::string& file) const {
    return evaluate(*model, run.text->permutation, *run.text->tokenizer, text::Mode::kLines, {file},
                    nullptr);
  }

  TinyRun run;
  std::unique_ptr<model::GatedConvLm> model;
};

TEST_CASE("LineEvaluator: a text's figures are those of each line alone", "[eval]") {
  const Fixture it;
  const Totals expected = it.by_hand();
  const Totals totals = it.of_file(it.run.folder / "valid.txt");
  CHECK(totals.tokens == expected.tokens);
  CHECK(totals.nats == Approx(expected.nats).epsilon(1e-6));
  CHECK(totals.squared_nats == Approx(expected.squared_nats).epsilon(1e-6));
  CHECK(totals.oov == 1);
  CHECK(totals.oov_nats > 0);
  CHECK(totals.counts == it.run.text->valid.counts());
  Totals stream = evaluate(*it.model, it.run.text->permutation, *it.run.text->tokenizer,
                           text::Mode::kStream, {it.run.folder / "valid.txt"}, nullptr);
  CHECK(std::abs(stream.nats / totals.nats - 1) > 1e-4);
}

TEST_CASE("LineEvaluator: a token file gives the same bits as its text", "[eval]") {
  const Fixture it;
  const Totals text = it.of_file(it.run.folder / "valid.txt");
  Totals tokens;
  std::uint64_t last = 0;
  CHECK(evaluate(
      *it.model, it.run.text->permutation, it.end_of_line(), text::Mode::kLines, it.run.text->valid,
      [&](std::uint64_t scored, std::uint64_t) {
        CHECK(scored > last);
        last = scored;
        return true;
      },
      tokens));
  CHECK(last == text.tokens);
  CHECK(tokens.nats == text.nats);
  CHECK(tokens.squared_nats == text.squared_nats);
  CHECK(tokens.tokens == text.tokens);
}

TEST_CASE("LineEvaluator: how the tokens arrive makes no difference", "[eval]") {
  const Fixture it;
  const std::vector<int> ids = it.ids();
  const double whole = it.of_file(it.run.folder / "valid.txt").nats;
  for (const std::size_t piece : {1u, 7u, 1024u, 50000u}) {
    LineEvaluator evaluator(*it.model, it.run.text->permutation, it.end_of_line());
    for (std::size_t at = 0; at < ids.size(); at += piece) {
      evaluator.add(std::span(ids).subspan(at, std::min(piece, ids.size() - at)), {});
    }
    CHECK(evaluator.finish());
    CHECK(evaluator.totals().nats == whole);
  }
}

TEST_CASE("LineEvaluator: neither neighbours nor the order of lines make a difference", "[eval]") {
  const Fixture it;
  std::string turned;
  for (std::size_t end = it.run.valid_text.size(), at; end != std::string::npos; end = at) {
    at = end == 0 ? std::string::npos : it.run.valid_text.rfind('\n', end - 1);
    const std::size_t begin = at == std::string::npos ? 0 : at + 1;
    turned += it.run.valid_text.substr(begin, end - begin) + "\n";
  }
  const Totals forward = it.of_file(it.run.folder / "valid.txt");
  const Totals backward = it.of_file(testing::write_text(it.run.folder / "turned", turned));
  CHECK(forward.tokens == backward.tokens);
  CHECK(forward.nats != backward.nats);  // other sums
  CHECK(backward.nats == Approx(forward.nats).epsilon(1e-6));
  CHECK(backward.oov_nats == Approx(forward.oov_nats).epsilon(1e-5));
}

TEST_CASE("LineEvaluator: more lines than a block are as many blocks", "[eval]") {
  const Fixture it;
  const std::string line = "the fox and the dog sleep\n";
  const auto nats = [&](int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += line;
    return it.of_file(testing::write_text(it.run.folder / "same", text)).nats;
  };
  CHECK(nats(3000) == Approx(3000 * nats(1)).epsilon(1e-6));  // 78,000 tokens
}

TEST_CASE("LineEvaluator: a stop leaves no figures", "[eval]") {
  const Fixture it;
  for (const int passes : {1, 2, 5}) {
    Totals totals;
    totals.nats = 7;
    int calls = 0;
    CHECK_FALSE(evaluate(
        *it.model, it.run.text->permutation, it.end_of_line(), text::Mode::kLines,
        it.run.text->valid, [&](std::uint64_t, std::uint64_t) { return ++calls < passes; },
        totals));
    CHECK(calls == passes);
    CHECK(totals.nats == 7);
  }
}

}  // namespace
}  // namespace sluice::eval
