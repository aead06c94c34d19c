#include "sluice/eval/dialogue.h"

#include <catch2/catch.hpp>

#include "tests/support/tiny_writer.h"

namespace sluice::eval {
namespace {

using testing::TinyWriter;

const model::SamplerOptions kGreedy{.temperature = 0};

// What a new dialogue says when all of this was its first line, </s> by </s>.
Sample afresh(const TinyWriter& tiny, const std::string& text) {
  Dialogue dialogue(tiny.writer, kGreedy);
  return dialogue.turn(tiny.ids(text), [](std::string_view) { return true; });
}

TEST_CASE("Dialogue: the model sees the whole text, lines and continuations", "[eval]") {
  TinyWriter tiny("abcdefgh");
  tiny.writer.max_tokens = 15;
  Dialogue dialogue(tiny.writer, kGreedy);
  std::string text;
  const auto turn = [&](const std::string& line) {
    if (!line.empty() && !text.empty() && text.back() != '\n') text += "\n";
    text += line;
    std::string shown;
    const Sample sample = dialogue.turn(tiny.ids(line), [&](std::string_view piece) {
      shown += piece;
      return true;
    });
    const Sample expected = afresh(tiny, text);
    CHECK(sample.text == expected.text);
    CHECK(sample.logprob_nats == Approx(expected.logprob_nats).epsilon(1e-5));
    CHECK(sample.text == shown);
    CHECK(sample.tokens == 15);
    text += sample.text;
  };
  turn("abc");
  turn("hag");
  turn("");  // goes on where it stands
  turn("fed");
}

TEST_CASE("Dialogue: a continuation that is broken off stays part of the text", "[eval]") {
  TinyWriter tiny("abcdefgh");
  Dialogue dialogue(tiny.writer, kGreedy);
  int pieces = 0;
  const Sample cut = dialogue.turn(tiny.ids("abc"), [&](std::string_view) { return ++pieces < 4; });
  CHECK(cut.tokens == 4);
  const std::string text = "abc" + cut.text;
  const Sample next = dialogue.turn(tiny.ids("had"), [](std::string_view) { return true; });
  const Sample expected = afresh(tiny, text + (text.back() == '\n' ? "had" : "\nhad"));
  CHECK(next.text == expected.text);
  CHECK(next.logprob_nats == Approx(expected.logprob_nats).epsilon(1e-5));
}

TEST_CASE("Dialogue: broken off, it shows what was held back for a stop string", "[eval]") {
  TinyWriter tiny("ab");
  tiny.writer.stop = {"aaaaaaaaa"};
  tiny.forget_weights();
  tiny.set_bias("a", 30);
  Dialogue dialogue(tiny.writer, kGreedy);
  std::string shown;
  int asked = 0;
  const Sample cut = dialogue.turn(tiny.ids("b"), [&](std::string_view piece) {
    shown += piece;
    return ++asked < 3;
  });
  CHECK(cut.text == "aaa");
  CHECK(shown == "aaa");
}

TEST_CASE("Dialogue: a long line can be broken off, and is part of the text all the same",
          "[eval]") {
  TinyWriter tiny("abcdefgh");
  std::string line;
  for (int i = 0; i < 2500; ++i) line += static_cast<char>('a' + i * i % 11 % 8);
  Dialogue dialogue(tiny.writer, kGreedy);
  const Sample none = dialogue.turn(tiny.ids(line), [](std::string_view) { return false; });
  CHECK(none.tokens == 0);
  const Sample next = dialogue.turn({}, [](std::string_view) { return true; });
  const Sample expected = afresh(tiny, line);
  CHECK(next.text == expected.text);
  CHECK(next.logprob_nats == Approx(expected.logprob_nats).epsilon(1e-5));
}

TEST_CASE("Dialogue: after a stop string the text goes on behind it", "[eval]") {
  TinyWriter tiny("abcdefgh");
  tiny.writer.stop = {"\n"};
  tiny.set_bias("\n", 20);
  const auto go_on = [](std::string_view) { return true; };
  const auto logprob_after = [&](const std::string& line) {
    return Dialogue(tiny.writer, kGreedy).turn(tiny.ids(line), go_on).logprob_nats;
  };
  Dialogue dialogue(tiny.writer, kGreedy);
  const Sample first = dialogue.turn(tiny.ids("abc"), go_on);
  REQUIRE(first.finish == FinishReason::kStop);
  REQUIRE(first.text.empty());
  tiny.set_bias("\n", 0);  // so that what comes next is in question
  // One </s> between the lines, not two: it was written already.
  const double found = dialogue.turn(tiny.ids("d"), go_on).logprob_nats;
  CHECK(found == Approx(logprob_after("abc\nd")).epsilon(1e-5));
  CHECK(found != Approx(logprob_after("abc\n\nd")).epsilon(1e-3));
}

TEST_CASE("Dialogue: with a model of lines every turn begins a new text", "[eval]") {
  TinyWriter tiny("abcdefgh");
  tiny.writer.lines = true;
  Dialogue dialogue(tiny.writer, kGreedy);
  const auto turn = [&](const std::string& line) {
    return dialogue.turn(tiny.ids(line), [](std::string_view) { return true; });
  };
  const Sample first = turn("abc");
  turn("hag");
  const Sample again = turn("abc");
  CHECK(again.text == first.text);
  CHECK(again.logprob_nats == first.logprob_nats);
}

}  // namespace
}  // namespace sluice::eval
