#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "sluice/model/gated_conv_lm.h"
#include "sluice/text/corpus.h"
#include "sluice/text/permutation.h"
#include "sluice/text/token_file.h"
#include "sluice/text/tokenizer.h"

namespace sluice::eval {

// Tokens that are scored in one pass: what the memory of an evaluation depends on.
inline constexpr Index kWindow = 1024;

// What was scored, as sums; every figure is a quotient of these.
struct Totals {
  double nats = 0, squared_nats = 0;
  std::uint64_t tokens = 0;  // </s> of every line included
  double oov_nats = 0;       // of forms outside the vocabulary
  std::uint64_t oov = 0;
  std::uint64_t literal_unknowns = 0;  // <unk> spelt in the text
  text::CorpusCounts counts;
  std::uint64_t data_hash = 0;  // of the text's bytes, as text::TokenFile::corpus_hash
};

// Adds scored tokens to the sums; `oov`: where what is known of them begins.
void count(Totals& totals, std::span<const double> nats, std::vector<bool>::const_iterator oov);

// Perplexity figures, with their definitions.
double nats_per_token(const Totals& totals);
double perplexity(const Totals& totals);         // exp(nats / tokens)
double perplexity_stderr(const Totals& totals);  // ppl s / sqrt(N), tokens taken as independent
double word_perplexity(const Totals& totals);    // exp(nats / (words + lines))
double bits_per_byte(const Totals& totals);      // nats / (bytes ln 2)
double bits_per_char(const Totals& totals);      // nats / (chars ln 2)
double perplexity_excl_oov(const Totals& totals);

// Called now and then with the tokens, and where the text is read the bytes of its files (packed as
// they may be), behind us; false stops the evaluation of a token file.
using Progress = std::function<bool(std::uint64_t tokens, std::uint64_t bytes)>;

// Tokens of a stream that were scored in one pass; valid during the call.
struct ScoredWindow {
  std::span<const int> inputs, targets;  // model ids
  std::vector<bool>::const_iterator oov;
  std::span<const double> nats;        // of each target
  const kernels::Activations& hidden;  // what the softmax read for it, [1, T, output width]
};
// Shown every pass over a stream, in order, before it is reported as progress.
using WindowObserver = std::function<void(const ScoredWindow&)>;

// A whole token file, as one stream or each line alone (eval/evaluator.h); oov_nats is not known
// (NaN) where oov > 0. Returns false when `progress` stopped it, `totals` then as it was.
bool evaluate(const model::GatedConvLm& model, const text::Permutation& permutation,
              int end_of_line, text::Mode mode, const text::TokenFile& tokens,
              const Progress& progress, Totals& totals);

// Files as one corpus in the order given, "-" being standard input. Errors as read_corpus and
// check_carries_bytes(). Lines are not observed.
Totals evaluate(const model::GatedConvLm& model, const text::Permutation& permutation,
                const text::Tokenizer& tokenizer, text::Mode mode, const text::Corpus& corpus,
                const Progress& progress, const WindowObserver& observe = nullptr);

}  // namespace sluice::eval
