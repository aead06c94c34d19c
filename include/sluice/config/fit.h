#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/config/config.h"
#include "sluice/text/survey.h"

namespace sluice::config {

// Whether a key path, e.g. "train.max_time", is the user's own choice.
using IsSet = std::function<bool(std::string_view key)>;

struct Fitted {
  Config config;
  // What was chosen and why, a line each, with the key that changes it.
  std::vector<std::string> reasons;
};

// clang-format off
// A config for a text and a machine of `threads` CPUs, for those who bring nothing but text. What
// the user has set, or has nothing to do with the text, is `base`'s; of its limits only those that
// are set. `base.tokenizer.type` is that of an existing tokenizer where one is to be used.
//
//   tokens     characters for short texts, and for longer ones without spaces; else SentencePiece
//   duration   D = 10 min * sqrt(MB), from 3 minutes to 2 hours, but no more passes than are of use
//   network    N weights in the blocks: sqrt(FLOP in D / 18), i.e. three tokens seen per weight
//              (6 N FLOP a token, 3 N tokens); at most 4 per token of the text, or 600,000
//   batch      such that there are some 4,000 updates: short runs lack these most
//   dropout    by the number of passes over the text
//   validation 5 % of the lines, but hardly more than 300 kB: a function of the text alone
//
// These ratios were found on the shipped texts, for minutes on two cores; they are a start, not an
// optimum. The speed of the machine is not measured (a choice must not depend on what else runs):
// 100 GFLOP/s a CPU are assumed, as an AVX-512 core reaches in f32.
// clang-format on
Fitted fit_config(const Config& base, const IsSet& is_set, const text::Survey& text, int threads);

}  // namespace sluice::config
