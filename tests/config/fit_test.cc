#include "sluice/config/fit.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "sluice/model/summary.h"

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

Index channels(const Fitted& fitted) {
  return fitted.config.model.blocks.at(0).layers.at(0).channels;
}

}  // namespace

TEST_CASE("fit_config: whatever the text, the machine and the time, the config can be run",
          "[config]") {
  const Config base = load_config("default");
  for (const double bytes : {1.0, 3e3, 5e4, 1e6, 9e7, 1e11}) {
    for (const int threads : {1, 2, 64}) {
      for (const std::optional<Seconds> time :
           {std::optional<Seconds>{}, std::optional(Seconds{1}), std::optional(Seconds{1e6})}) {
        for (const text::Survey& text : {spaced(bytes), unspaced(bytes)}) {
          const Decided decided = {.limit = time.has_value(), .time = time};
          const Fitted fitted = fit_config(base, decided, text, threads);
          INFO(bytes << " bytes, " << threads << " threads");
          CHECK_NOTHROW(check_config(fitted.config));
          CHECK(parse_config(to_json(fitted.config), "fitted") == fitted.config);
          CHECK_FALSE(fitted.reasons.empty());
        }
      }
    }
  }
}

TEST_CASE("fit_config: short texts and those without spaces in characters, others in pieces",
          "[config]") {
  const auto type = [](const text::Survey& text) {
    return fit_config(load_config("default"), {}, text, 2).config.tokenizer.type;
  };
  CHECK(type(spaced(5e4)) == text::TokenizerType::kChar);
  CHECK(type(spaced(1e6)) == text::TokenizerType::kSentencePiece);
  CHECK(type(unspaced(1.4e6)) == text::TokenizerType::kChar);
  CHECK(type(unspaced(1e8)) == text::TokenizerType::kSentencePiece);
}

TEST_CASE("fit_config: more text, time or CPUs never make the network smaller", "[config]") {
  const Config base = load_config("default");
  const auto width = [&](double bytes, double seconds, int threads) {
    return channels(fit_config(base, {.tokenizer = true, .limit = true, .time = Seconds{seconds}},
                               spaced(bytes), threads));
  };
  Index before = 0;
  for (const double bytes : {1e4, 1e5, 1e6, 1e7, 1e8}) {
    CHECK(width(bytes, 3600, 8) >= before);
    before = width(bytes, 3600, 8);
  }
  CHECK(width(1e8, 300, 2) < width(1e8, 3600, 2));
  CHECK(width(1e8, 300, 2) < width(1e8, 300, 16));
}

TEST_CASE("fit_config: what the user has decided stands", "[config]") {
  Config base = load_config("default");
  base.tokenizer.type = text::TokenizerType::kWord;
  base.data.valid_fraction = 0.5;
  const Decided decided = {.tokenizer = true, .limit = true, .valid = true, .time = Seconds{77}};
  const Fitted fitted = fit_config(base, decided, spaced(1e8), 2);
  CHECK(fitted.config.tokenizer.type == text::TokenizerType::kWord);
  CHECK(fitted.config.data.valid_fraction == 0.5);
  CHECK(fitted.config.train.max_time == Seconds{77});
  // A limit of another kind: the clock sets none.
  CHECK_FALSE(fit_config(base, {.tokenizer = false, .limit = true, .valid = false, .time = {}},
                         spaced(1e8), 2)
                  .config.train.max_time);
}

TEST_CASE("fit_config: validating takes a small part of a short run on a long text", "[config]") {
  const auto held_back = [](double bytes, double seconds) {
    return fit_config(load_config("default"), {.limit = true, .time = Seconds{seconds}},
                      spaced(bytes), 2)
               .config.data.valid_fraction *
           bytes;
  };
  CHECK(held_back(1e5, 300) == Approx(5e3));
  CHECK(held_back(9e7, 300) <= 3e5);
  CHECK(held_back(9e7, 300) >= 2e5);
  CHECK(held_back(9e7, 1500) > 1e6);
}

TEST_CASE("fit_config: a short text is passed over more often, and with more dropout", "[config]") {
  const auto fitted = [](double bytes) {
    return fit_config(load_config("default"), {}, spaced(bytes), 2).config;
  };
  const Config poem = fitted(5e4), library = fitted(9e7);
  CHECK(*poem.train.max_epochs > *library.train.max_epochs);
  CHECK(poem.model.dropout.layer > library.model.dropout.layer);
}
