#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "sluice/base/thread_pool.h"
#include "sluice/config/config.h"
#include "sluice/text/permutation.h"
#include "sluice/text/token_file.h"
#include "sluice/text/tokenizer.h"

namespace sluice::config {

// How a model reads text, for a run that goes on from it.
struct Vocabulary {
  std::unique_ptr<text::Tokenizer> tokenizer;
  text::Permutation permutation;
};

// The text side of a run: its tokenizer, its two token files and the order of its vocabulary.
struct RunText {
  std::unique_ptr<text::Tokenizer> tokenizer;
  text::TokenFile train, valid;
  text::Permutation permutation;
};

// `note(text)` tells the user what was decided, `progress(done, total)` how far the encoding of a
// text is, in bytes; neither is null.
// `known`: the vocabulary of a model that goes on, taken as it is; else the tokenizer of
// `config.file` (as tokenizer_path()) or, without one, a tokenizer trained on the
// training lines; the permutation is then counted from them.
// `cache` and `pool`: as for text::tokenize().
// Errors: kUsage without training text; kNoInput and kBadData about the files.
RunText prepare_text(const text::DataConfig& data, const text::TokenizerConfig& config,
                     std::optional<Vocabulary> known,
                     const std::function<void(const std::string&)>& note,
                     const std::function<void(std::uint64_t, std::uint64_t)>& progress,
                     text::Cache cache = text::Cache::kKeep, ThreadPool* pool = nullptr);

// Nats per validation token of a model that knows nothing but how often each token stands in the
// training text (add-one smoothed): what a network must at least beat.
double unigram_loss(const RunText& text);

// Where the output's cutoffs are to be chosen, chooses them from the counts of the training text,
// once: from here on they stand in the run's config. None for a vocabulary that a whole softmax
// serves best, as with characters.
void resolve_cutoffs(Config& config, const RunText& text,
                     const std::function<void(const std::string&)>& note);

}  // namespace sluice::config
