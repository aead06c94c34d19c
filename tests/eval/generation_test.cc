#include "sluice/eval/generation.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "tests/support/tiny_writer.h"

namespace sluice::eval {
namespace {

using testing::TinyWriter;

std::vector<Sample> write(const TinyWriter& tiny, const std::vector<std::string>& prompts,
                          Index samples, model::SamplerOptions sampling,
                          std::map<Index, std::string>* pieces = nullptr) {
  std::vector<Sample> written;
  generate(
      tiny.writer,
      {.prompts = static_cast<Index>(prompts.size()),
       .samples = samples,
       .prompt = [&](Index i) { return tiny.ids(prompts[static_cast<std::size_t>(i)]); },
       .sampling = sampling},
      [&](Index number, std::string_view piece) {
        if (pieces != nullptr) (*pieces)[number] += piece;
      },
      [&](Index number, const Sample& sample) {
        CHECK(number == static_cast<Index>(written.size()));
        written.push_back(sample);
      });
  return written;
}

// -log p of what was written, by one pass over prompt and text.
double nats_of(const TinyWriter& tiny, const std::string& prompt, const std::string& text) {
  Writer whole = tiny.writer;
  whole.lines = false;
  const std::vector<int> all = opening_words(whole, tiny.ids(prompt + text));
  const std::vector<int> inputs(all.begin(), all.end() - 1), targets(all.begin() + 1, all.end());
  const auto state = tiny.network->state(1, static_cast<Index>(inputs.size()), false);
  tiny.network->forward(inputs, targets, *state);
  double sum = 0;
  const auto nats = tiny.network->nats(*state);
  for (std::size_t i = tiny.ids(prompt).size(); i < nats.size(); ++i) sum += nats[i];
  return sum;
}

const std::vector<std::string> kPrompts = {"ab", "", "cab\nbbacacbab", "b"};

TEST_CASE("Generation: the log-probability is the model's own, of the whole text", "[eval]") {
  const TinyWriter tiny("abc");
  const model::SamplerOptions sampling{
      .temperature = 0.5, .top_k = 3, .repeat_penalty = 1.3, .seed = 3};
  const std::vector<Sample> samples = write(tiny, {"abc\na"}, 3, sampling);
  REQUIRE(samples.size() == 3);
  for (const Sample& sample : samples) {
    CHECK(sample.tokens == 40);
    CHECK(sample.logprob_nats == Approx(-nats_of(tiny, "abc\na", sample.text)).epsilon(1e-5));
  }
}

TEST_CASE("Generation: a text is the same alone and in any batch, to the bit", "[eval]") {
  const TinyWriter tiny("abc");
  const model::SamplerOptions sampling{.temperature = 1.2, .seed = 5};
  const std::vector<Sample> all = write(tiny, kPrompts, 5, sampling);
  REQUIRE(all.size() == 20);
  for (std::size_t i = 0; i < all.size(); ++i) {
    model::SamplerOptions own = sampling;
    own.seed = all[i].seed;
    CHECK(own.seed == model::sample_seed(5, i / 5, i % 5));
    const Sample alone = write(tiny, {kPrompts[i / 5]}, 1, own).at(0);
    INFO(i);
    CHECK(alone.text == all[i].text);
    CHECK(alone.logprob_nats == all[i].logprob_nats);
    CHECK(alone.seed == own.seed);
  }
  CHECK(all[0].seed == 5);
  CHECK(all[0].text != all[1].text);
}

TEST_CASE("Generation: the same for any number of threads", "[eval]") {
  const model::SamplerOptions sampling{.temperature = 1, .seed = 8};
  const std::vector<Sample> one = write(TinyWriter("abc", 1), kPrompts, 3, sampling);
  for (const int threads : {2, 3}) {
    const std::vector<Sample> more = write(TinyWriter("abc", threads), kPrompts, 3, sampling);
    REQUIRE(more.size() == one.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
      CHECK(more[i].text == one[i].text);
      CHECK(more[i].logprob_nats == one[i].logprob_nats);
    }
  }
}

TEST_CASE("Generation: more than fit in flight, of different lengths, come in their order",
          "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.stop = {"a"};
  tiny.writer.max_tokens = 30;
  std::map<Index, std::string> pieces;
  const std::vector<Sample> all = write(tiny, kPrompts, 50, {.temperature = 1, .seed = 2}, &pieces);
  REQUIRE(all.size() == 200);
  std::map<Index, int> lengths;
  for (std::size_t i = 0; i < all.size(); ++i) {
    ++lengths[all[i].tokens];
    CHECK(all[i].text == pieces[static_cast<Index>(i)]);
    CHECK(all[i].text.find('a') == std::string::npos);
    CHECK((all[i].finish == FinishReason::kStop) == (all[i].tokens < 30));
  }
  CHECK(lengths.size() > 5);
  const Sample alone =
      write(tiny, {kPrompts[3]}, 1, {.temperature = 1, .seed = all[199].seed}).at(0);
  CHECK(alone.logprob_nats == all[199].logprob_nats);
}

TEST_CASE("Generation: </s> ends the texts of a model of lines", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.lines = true;
  tiny.set_bias("\n", 2);
  int ended = 0;
  for (const Sample& sample : write(tiny, {"ab"}, 20, {.temperature = 1, .seed = 1})) {
    // <unk> cannot be read again.
    if (sample.finish != FinishReason::kEnd || sample.text.find('<') != std::string::npos) continue;
    ++ended;
    CHECK(sample.text.find('\n') == std::string::npos);
    CHECK(sample.logprob_nats == Approx(-nats_of(tiny, "ab", sample.text + "\n")).epsilon(1e-5));
  }
  REQUIRE(ended >= 5);
}

TEST_CASE("Generation: a sample depends neither on how many there are nor on other prompts",
          "[eval]") {
  const TinyWriter tiny("abc");
  const model::SamplerOptions sampling{.temperature = 1, .seed = 6};
  const std::vector<Sample> all = write(tiny, {"ab", "b", "ca"}, 4, sampling);
  const std::vector<Sample> few = write(tiny, {"c", "b"}, 2, sampling);
  REQUIRE(all.size() == 12);
  REQUIRE(few.size() == 4);
  for (const std::size_t sample : {0u, 1u}) {
    CHECK(few[2 + sample].seed == all[4 + sample].seed);
    CHECK(few[2 + sample].text == all[4 + sample].text);
  }
}

TEST_CASE("Generation: the repeat penalty looks at prompt and text, not at the first </s>",
          "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.max_tokens = 1;
  // Of two words of which one is sure to come, the one in the prompt is put off.
  tiny.forget_weights();
  tiny.set_bias("a", 30);
  tiny.set_bias("b", Real(29.5));
  model::SamplerOptions sampling{.temperature = 0, .repeat_penalty = 50};
  CHECK(write(tiny, {"c"}, 1, sampling)[0].text == "a");
  CHECK(write(tiny, {"ca"}, 1, sampling)[0].text == "b");
  sampling.repeat_window = 2;
  CHECK(write(tiny, {"acc"}, 1, sampling)[0].text == "a");
  tiny.set_bias("\n", 31);
  CHECK(write(tiny, {""}, 1, sampling)[0].text == "\n");
  tiny.writer.max_tokens = 4;
  CHECK(write(tiny, {""}, 1, sampling)[0].text == "\nab\n");
}

TEST_CASE("Generation: nothing to write is written at once", "[eval]") {
  TinyWriter tiny("abc");
  tiny.writer.max_tokens = 0;
  const std::vector<Sample> none = write(tiny, kPrompts, 2, {});
  REQUIRE(none.size() == 8);
  CHECK(none[7].text.empty());
  CHECK(none[7].tokens == 0);
  CHECK(none[7].logprob_nats == 0);
}

}  // namespace
}  // namespace sluice::eval
