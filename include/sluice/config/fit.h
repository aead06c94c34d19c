#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sluice/config/config.h"
#include "sluice/text/survey.h"

namespace sluice::config {

// What a user has decided already; everything else is to be chosen.
struct Decided {
  bool tokenizer = false;       // tokenizer.type, or an existing tokenizer
  bool limit = false;           // any of train.max_epochs, max_steps, max_time
  bool valid = false;           // validation text, or how much is held back for it
  std::optional<Seconds> time;  // train.max_time, where that is set
};

struct Fitted {
  Config config;
  // What was chosen and why, a line each, with the key that changes it.
  std::vector<std::string> reasons;
};

// A config for a text and a machine of `threads` CPUs, for those who bring nothing but text: what
// is decided, or has nothing to do with the text, is taken from `base`; of its limits only
// decided.time. Keys that the user has set are to be set again on top.
//
//   tokens        characters for short texts, and for longer ones without spaces; else
//   SentencePiece duration D    10 min * sqrt(MB), from 3 minutes to 2 hours, but no more passes
//   than are of use network N     weights of the blocks: sqrt(FLOP in D / 18), i.e. training sees
//   three tokens per
//                 weight (6 N FLOP per token and 3 N tokens); at most 4 per token of the text, or
//                 600,000
//   batch         such that there are some 4,000 updates: short runs lack these most
//   dropout       by the number of passes over the text
//
// These ratios were found on the shipped texts, for minutes on two cores; it is a start, not
// an optimum. The speed of the machine is not measured (a choice must not depend on what else
// runs): 100 GFLOP/s a CPU are assumed, as an AVX-512 core reaches in f32.
Fitted fit_config(const Config& base, const Decided& decided, const text::Survey& text,
                  int threads);

}  // namespace sluice::config
