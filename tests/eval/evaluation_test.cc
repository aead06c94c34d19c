#include "sluice/eval/evaluation.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "tests/support/error_check.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_run.h"

namespace sluice::eval {
namespace {

using testing::TinyRun;

TEST_CASE("Evaluation: each figure is the quotient it says", "[eval]") {
  // Four tokens of 1, 2, 3 and 6 nats; the last of them out of vocabulary.
  Totals totals;
  totals.nats = 12;
  totals.squared_nats = 1 + 4 + 9 + 36;
  totals.tokens = 4;
  totals.oov_nats = 6;
  totals.oov = 1;
  totals.counts = {.bytes = 10, .chars = 8, .lines = 2, .words = 4};
  CHECK(nats_per_token(totals) == 3);
  CHECK(perplexity(totals) == Approx(std::exp(3.0)));
  CHECK(word_perplexity(totals) == Approx(std::exp(2.0)));
  CHECK(bits_per_byte(totals) == Approx(1.2 / std::log(2.0)));
  CHECK(bits_per_char(totals) == Approx(1.5 / std::log(2.0)));
  CHECK(perplexity_excl_oov(totals) == Approx(std::exp(2.0)));
  // Sample variance (4 + 1 + 0 + 9) / 3.
  CHECK(perplexity_stderr(totals) == Approx(std::exp(3.0) * std::sqrt(14.0 / 3 / 4)));
}

TEST_CASE("Evaluation: figures of next to nothing are defined", "[eval]") {
  Totals one;
  one.nats = 2;
  one.squared_nats = 4;
  one.tokens = one.oov = 1;
  CHECK(perplexity_stderr(one) == 0);
  CHECK(std::isnan(perplexity_excl_oov(one)));
  Totals even;  // rounding must not make the variance negative
  even.nats = 0.3;
  even.tokens = 3;
  even.squared_nats = 3 * 0.1 * 0.1;
  CHECK(perplexity_stderr(even) == Approx(0).margin(1e-7));
}

// Longer than a window of the evaluator, with a form that the model has never seen.
struct Fixture {
  Fixture() {
    for (int i = 0; i < 60; ++i) {
      run.valid_text += "the fox ran " + std::string(static_cast<std::size_t>(i), 'o') + "\n";
    }
    run.valid_text += "caf\u00E9";  // and without a last line end
    run.config.model = testing::full_config();
    run.prepare();
    model = run.new_model();
    testing::stir_parameters(model->parameters(), 2);
  }
  const text::Tokenizer& tokenizer() const { return *run.text->tokenizer; }

  // -log p of every token, in one pass over the whole text; its OOVs.
  std::vector<double> by_hand(std::vector<bool>& oov) const {
    text::Encoding line;
    std::vector<int> ids;
    std::string rest = run.valid_text + "\n";
    for (std::size_t end; (end = rest.find('\n')) != std::string::npos; rest.erase(0, end + 1)) {
      line.clear();
      tokenizer().encode(rest.substr(0, end), line);
      ids.insert(ids.end(), line.ids.begin(), line.ids.end());
      oov.insert(oov.end(), line.oov.begin(), line.oov.end());
      ids.push_back(tokenizer().end_of_line());
      oov.push_back(false);
    }
    std::vector<int> inputs = {run.text->permutation.to_model(tokenizer().end_of_line())}, targets;
    for (const int id : ids) inputs.push_back(run.text->permutation.to_model(id));
    targets.assign(inputs.begin() + 1, inputs.end());
    inputs.pop_back();
    const auto state = model->state(1, static_cast<Index>(inputs.size()), false);
    model->forward(inputs, targets, *state);
    const auto nats = model->nats(*state);
    return {nats.begin(), nats.end()};
  }
  Totals of_file() const {
    return evaluate(*model, run.text->permutation, tokenizer(), text::Mode::kStream,
                    {run.folder / "valid.txt"}, nullptr);
  }

  TinyRun run;
  std::unique_ptr<model::GatedConvLm> model;
};

TEST_CASE("Evaluation: a text's figures are those of one pass over it", "[eval]") {
  const Fixture it;
  std::vector<bool> oov;
  const std::vector<double> nats = it.by_hand(oov);
  REQUIRE(nats.size() > 2048);  // several windows
  double sum = 0, squares = 0, oov_sum = 0;
  for (std::size_t i = 0; i < nats.size(); ++i) {
    sum += nats[i];
    squares += nats[i] * nats[i];
    if (oov[i]) oov_sum += nats[i];
  }
  const Totals totals = it.of_file();
  CHECK(totals.tokens == nats.size());
  CHECK(totals.nats == Approx(sum).epsilon(1e-6));
  CHECK(totals.squared_nats == Approx(squares).epsilon(1e-6));
  CHECK(totals.oov == 1);
  CHECK(totals.oov_nats == Approx(oov_sum).epsilon(1e-5));
  CHECK(totals.oov_nats > 0);
  CHECK(totals.counts.bytes == it.run.valid_text.size());
  CHECK(totals.counts.chars == it.run.valid_text.size() - 1);
  CHECK(totals.counts.lines == 63);
  CHECK(totals.tokens == totals.counts.chars + 1);  // the line end that is not in the text
}

TEST_CASE("Evaluation: a token file gives the same bits as its text", "[eval]") {
  const Fixture it;
  const Totals text = it.of_file();
  Totals tokens;
  std::uint64_t last = 0;
  CHECK(evaluate(
      *it.model, it.run.text->permutation, it.tokenizer().end_of_line(), text::Mode::kStream,
      it.run.text->valid,
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
  CHECK(tokens.counts == text.counts);
  CHECK(tokens.data_hash == text.data_hash);
  CHECK(tokens.oov == text.oov);
  CHECK(tokens.literal_unknowns == text.literal_unknowns);
  // Not known there, and not made up.
  CHECK(std::isnan(perplexity_excl_oov(tokens)));
}

TEST_CASE("Evaluation: files are one text in the order given", "[eval]") {
  const Fixture it;
  const std::string& text = it.run.valid_text;
  const std::size_t cut = text.find('\n', 700) + 1;
  const auto part = [&](const std::string& name, const std::string& content) {
    return testing::write_text(it.run.folder / name, content);
  };
  const std::vector<std::string> parts = {part("one", text.substr(0, cut)),
                                          part("two", text.substr(cut))};
  const Totals both = evaluate(*it.model, it.run.text->permutation, it.tokenizer(),
                               text::Mode::kStream, parts, nullptr);
  CHECK(both.nats == it.of_file().nats);
  CHECK(both.counts == it.of_file().counts);
}

TEST_CASE("Evaluation: a stop leaves no figures", "[eval]") {
  const Fixture it;
  Totals totals;
  totals.nats = 7;
  int calls = 0;
  CHECK_FALSE(evaluate(
      *it.model, it.run.text->permutation, it.tokenizer().end_of_line(), text::Mode::kStream,
      it.run.text->valid, [&](std::uint64_t, std::uint64_t) { return ++calls < 2; }, totals));
  CHECK(calls == 2);
  CHECK(totals.nats == 7);
  CHECK(totals.tokens == 0);
}

TEST_CASE("Evaluation: an unknown spelt in a word text is counted apart", "[eval]") {
  TinyRun run;
  run.config.tokenizer.type = text::TokenizerType::kWord;
  run.config.data.unk_in_text = true;
  run.train_text = "a b c <unk> d e f\nb c d e a\na <unk> b\n";
  run.config.data.tokens_per_sample = 4;
  run.prepare();
  const auto model = run.new_model();
  const std::string file = testing::write_text(run.folder / "t", "a <unk> zebra b\n");
  const Totals totals = evaluate(*model, run.text->permutation, *run.text->tokenizer,
                                 text::Mode::kStream, {file}, nullptr);
  CHECK(totals.tokens == 5);
  CHECK(totals.oov == 1);
  CHECK(totals.literal_unknowns == 1);
}

TEST_CASE("Evaluation: nothing to score is an error", "[eval]") {
  const Fixture it;
  const std::string empty = testing::write_text(it.run.folder / "empty", "");
  testing::check_error(ExitCode::kBadData, {empty}, [&] {
    evaluate(*it.model, it.run.text->permutation, it.tokenizer(), text::Mode::kStream, {empty},
             nullptr);
  });
  testing::check_error(ExitCode::kNoInput, {"missing"}, [&] {
    evaluate(*it.model, it.run.text->permutation, it.tokenizer(), text::Mode::kStream,
             {it.run.folder / "missing"}, nullptr);
  });
}

}  // namespace
}  // namespace sluice::eval
