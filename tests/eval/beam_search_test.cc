#include "sluice/eval/beam_search.h"

#include <catch2/catch.hpp>

#include "sluice/eval/generation.h"
#include "tests/support/error_check.h"
#include "tests/support/tiny_writer.h"

namespace sluice::eval {
namespace {

using testing::TinyWriter;

constexpr Index kLength = 5;

// The most probable continuation among all of up to kLength tokens, and its log-probability.
Sample exhaustive(const TinyWriter& tiny, const std::string& prompt) {
  Sample best;
  best.logprob_nats = -1e9;
  const std::vector<int> opening = opening_words(tiny.writer, tiny.ids(prompt));
  const std::function<void(const Draft&, std::vector<int>)> visit = [&](const Draft& draft,
                                                                        std::vector<int> words) {
    if (draft.finished()) {
      if (draft.logprob_nats() > best.logprob_nats) best = sample_of(draft);
      return;
    }
    const auto state = tiny.network->state(1, static_cast<Index>(words.size()), false);
    tiny.network->forward_hidden(words, *state);
    std::vector<Real> log_p(static_cast<std::size_t>(tiny.network->vocabulary()));
    tiny.network->log_probabilities(*state, state->map().time - 1, log_p);
    for (std::size_t word = 0; word < log_p.size(); ++word) {
      Draft longer = draft;
      longer.add(static_cast<int>(word), static_cast<double>(log_p[word]));
      words.push_back(static_cast<int>(word));
      visit(longer, words);
      words.pop_back();
    }
  };
  visit(Draft(tiny.writer, -1), opening);
  return best;
}

TEST_CASE("Beam search: wide enough, it finds what exhaustive search finds", "[eval]") {
  const std::string kind = GENERATE("length", "lines", "stop");
  TinyWriter tiny("ab");  // and </s>, <unk>
  tiny.writer.max_tokens = kLength;
  tiny.writer.lines = kind == "lines";
  if (kind == "stop") tiny.writer.stop = {"ba", "\n"};
  // Neither sure to end at once nor never.
  tiny.set_bias("\n", Real(-0.5));
  int ended = 0;
  for (const char* prompt : {"", "ab", "bb", tiny.writer.lines ? "aab" : "a\nb"}) {
    const Sample expected = exhaustive(tiny, prompt);
    const Sample found = beam_search(tiny.writer, tiny.ids(prompt), 1024);
    INFO(kind << " after " << prompt);
    CHECK(found.text == expected.text);
    CHECK(found.tokens == expected.tokens);
    CHECK(found.finish == expected.finish);
    CHECK(found.logprob_nats == Approx(expected.logprob_nats).epsilon(1e-5));
    ended += found.finish != FinishReason::kLength;
    // Ending is dear in these models: longer texts are no better for it.
    CHECK(beam_search(tiny.writer, tiny.ids(prompt), 1).logprob_nats <= found.logprob_nats + 1e-4);
  }
  CHECK((kind == "length") == (ended == 0));
}

TEST_CASE("Beam search: a beam of 1 is greedy", "[eval]") {
  TinyWriter tiny("abcdefgh");
  for (const char* prompt : {"", "ab", "hgfe\nd"}) {
    const auto ids = [&](Index) { return tiny.ids(prompt); };
    Sample greedy;
    generate(tiny.writer, {.prompt = ids, .sampling = {.temperature = 0}}, nullptr,
             [&](Index, const Sample& sample) { greedy = sample; });
    const Sample found = beam_search(tiny.writer, tiny.ids(prompt), 1);
    CHECK(found.text == greedy.text);
    CHECK(found.logprob_nats == greedy.logprob_nats);
  }
}

TEST_CASE("Beam search: a wider beam finds what greed walks past", "[eval]") {
  TinyWriter tiny("abcdefgh");
  tiny.writer.max_tokens = 12;
  int better = 0;
  for (const char* prompt : {"", "ab", "hgfe\nd", "bad", "fed"}) {
    const double greedy = beam_search(tiny.writer, tiny.ids(prompt), 1).logprob_nats;
    const Sample wide = beam_search(tiny.writer, tiny.ids(prompt), 50);
    better += wide.logprob_nats > greedy + 1e-3;
    CHECK(wide.logprob_nats == beam_search(tiny.writer, tiny.ids(prompt), 50).logprob_nats);
  }
  CHECK(better >= 2);
}

TEST_CASE("Beam search: equal hypotheses rank by word", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.max_tokens = 3;
  tiny.forget_weights();
  tiny.set_bias("b", 3);
  tiny.set_bias("c", 3);
  const bool b_first =
      tiny.permutation.to_model(tiny.ids("b")[0]) < tiny.permutation.to_model(tiny.ids("c")[0]);
  for (const Index width : {1, 2, 5}) {
    CHECK(beam_search(tiny.writer, {}, width).text == (b_first ? "bbb" : "ccc"));
  }
}

TEST_CASE("Beam search: nothing to write", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.max_tokens = 0;
  CHECK(beam_search(tiny.writer, tiny.ids("a"), 4).tokens == 0);
}

TEST_CASE("Beam search: tells how far it is", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.max_tokens = 3;
  std::vector<Index> told;
  beam_search(tiny.writer, tiny.ids("a"), 2, [&](Index tokens) { told.push_back(tokens); });
  CHECK(told == std::vector<Index>{1, 2, 3});
}

TEST_CASE("Beam search: what cannot fit is refused before it is tried", "[eval]") {
  const TinyWriter tiny("abc");
  testing::check_error(ExitCode::kNoResource, {"out of memory", "the log-probabilities of a beam"},
                       [&] { beam_search(tiny.writer, tiny.ids("a"), Index{1} << 50); });
}

}  // namespace
}  // namespace sluice::eval
