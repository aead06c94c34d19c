#include "sluice/config/fit.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>
#include <vector>

using namespace sluice;
using namespace sluice::config;

namespace {

// Latin text, with a space every six characters.
text::Survey spaced(double bytes) {
  text::Survey text;
  text.counts = {.bytes = static_cast<std::uint64_t>(bytes),
                 .chars = static_cast<std::uint64_t>(bytes),
                 .lines = static_cast<std::uint64_t>(bytes / 60),
                 .words = static_cast<std::uint64_t>(bytes / 6)};
  text.distinct_chars = 80;
  return text;
}

// Three bytes a character and hardly a space.
text::Survey unspaced(double bytes) {
  text::Survey text = spaced(bytes);
  text.counts.chars = text.counts.bytes / 3;
  text.counts.words = text.counts.chars / 100;
  text.distinct_chars = 3000;
  return text;
}

IsSet sets(std::vector<std::string> keys) {
  return [keys](std::string_view key) {
    return std::find(keys.begin(), keys.end(), key) != keys.end();
  };
}

const IsSet kNothing = sets({});
const IsSet kTime = sets({"train.max_time"});

Config base_with(std::optional<Seconds> time = {}) {
  Config base = load_config("default");
  if (time) base.train.max_time = time;
  return base;
}

Index channels(const Config& config) { return config.model.blocks.at(0).layers.at(0).channels; }

}  // namespace

TEST_CASE("fit_config: whatever the text, the machine and the time, the config is a valid one",
          "[config]") {
  for (const double bytes : {1.0, 3e3, 5e4, 1e6, 9e7, 1e11}) {
    for (const int threads : {1, 2, 64}) {
      for (const std::optional<Seconds> time :
           {std::optional<Seconds>{}, std::optional(Seconds{1}), std::optional(Seconds{1e6})}) {
        for (const text::Survey& text : {spaced(bytes), unspaced(bytes)}) {
          const Fitted fitted = fit_config(base_with(time), time ? kTime : kNothing, text, threads);
          INFO(bytes << " bytes, " << threads << " threads");
          CHECK_NOTHROW(check_config(fitted.config));
          CHECK(parse_config(to_json(fitted.config), "fitted") == fitted.config);
          CHECK_FALSE(fitted.reasons.empty());
          if (time) CHECK(fitted.config.train.max_time == time);
        }
      }
    }
  }
}

TEST_CASE("fit_config: short texts and those without spaces in characters, others in pieces",
          "[config]") {
  const auto type = [](const text::Survey& text, const IsSet& is_set = kNothing) {
    return fit_config(base_with(), is_set, text, 2).config.tokenizer.type;
  };
  CHECK(type(spaced(5e4)) == text::TokenizerType::kChar);
  CHECK(type(spaced(1e6)) == text::TokenizerType::kSentencePiece);
  CHECK(type(unspaced(1.4e6)) == text::TokenizerType::kChar);
  CHECK(type(unspaced(1e8)) == text::TokenizerType::kSentencePiece);
  // Who asks for a number of pieces, or a way to find them, wants pieces.
  CHECK(type(spaced(5e4), sets({"tokenizer.vocab_size"})) == text::TokenizerType::kSentencePiece);
  CHECK(type(spaced(5e4), sets({"tokenizer.algorithm"})) == text::TokenizerType::kSentencePiece);
}

TEST_CASE("fit_config: malformed bytes that are to be kept need tokens for bytes", "[config]") {
  Config base = base_with();
  base.data.invalid_utf8 = text::InvalidUtf8::kBytes;
  const Config fitted = fit_config(base, kNothing, spaced(5e4), 2).config;
  CHECK(fitted.tokenizer.type == text::TokenizerType::kByte);
  CHECK_NOTHROW(check_config(fitted));
}

TEST_CASE("fit_config: more text, time or CPUs never make the network smaller", "[config]") {
  const auto width = [&](double bytes, double seconds, int threads) {
    Config base = base_with(Seconds{seconds});
    base.tokenizer.type = text::TokenizerType::kChar;
    return channels(
        fit_config(base, sets({"train.max_time", "tokenizer.type"}), spaced(bytes), threads)
            .config);
  };
  Index before = 0;
  for (const double bytes : {1e4, 1e5, 1e6, 1e7, 1e8}) {
    CHECK(width(bytes, 3600, 8) >= before);
    before = width(bytes, 3600, 8);
  }
  CHECK(width(1e8, 300, 2) < width(1e8, 3600, 2));
  CHECK(width(1e8, 300, 2) < width(1e8, 300, 16));
}

TEST_CASE("fit_config: what the user has set stands, and nothing is said of it", "[config]") {
  Config base = base_with(Seconds{77});
  base.tokenizer.type = text::TokenizerType::kWord;
  base.data.valid_fraction = 0.5;
  base.data.batch_size = 3;
  base.data.tokens_per_sample = 77;
  base.model.blocks = {{.layers = {{.kernel = 2, .channels = 33}}, .repeat = 3}};
  base.model.embedding_dim = 44;
  base.model.output.tied = false;
  base.model.dropout.layer = 0.5;
  base.optimizer.lr = 0.1;
  base.train.max_epochs = 9;
  base.train.eval_every = 7;
  base.train.save_every = 8;
  const IsSet everything = [](std::string_view key) { return key != "train.max_steps"; };
  const Fitted fitted = fit_config(base, everything, spaced(1e8), 2);
  CHECK(fitted.config == base);
  CHECK(fitted.reasons.empty());
}

TEST_CASE("fit_config: a limit that is set is the only one", "[config]") {
  Config base = base_with();
  base.train.max_steps = 10;
  const Config fitted = fit_config(base, sets({"train.max_steps"}), spaced(1e8), 2).config;
  CHECK(fitted.train.max_steps == 10);
  CHECK_FALSE(fitted.train.max_time);
  CHECK_FALSE(fitted.train.max_epochs);
  // Ten steps pass over next to nothing.
  CHECK(fitted.model.dropout.layer == 0);
}

TEST_CASE("fit_config: validating takes a small part of a long text, whatever the time",
          "[config]") {
  const auto held_back = [](double bytes, std::optional<Seconds> time = {}) {
    return fit_config(base_with(time), time ? kTime : kNothing, spaced(bytes), 2)
               .config.data.valid_fraction *
           bytes;
  };
  CHECK(held_back(1e5) == Approx(5e3));
  CHECK(held_back(9e7) <= 3e5);
  CHECK(held_back(9e7) >= 2e5);
  CHECK(held_back(9e7, Seconds{100}) == held_back(9e7, Seconds{1e5}));
  CHECK(held_back(1e10) == Approx(3e7));
}

TEST_CASE(
    "fit_config: a short text is passed over more often, with more dropout, in windows that "
    "it holds some of",
    "[config]") {
  const auto fitted = [](double bytes) {
    return fit_config(base_with(), kNothing, spaced(bytes), 2).config;
  };
  const Config poem = fitted(5e4), library = fitted(9e7);
  CHECK(*poem.train.max_epochs > *library.train.max_epochs);
  CHECK(poem.model.dropout.layer > library.model.dropout.layer);
  CHECK(fitted(100).data.tokens_per_sample <= 100 / 8);
}
