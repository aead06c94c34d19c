#include "sluice/eval/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "sluice/eval/evaluator.h"

namespace sluice::eval {
namespace {

double ratio(double sum, std::uint64_t count) { return sum / static_cast<double>(count); }

}  // namespace

void count(Totals& totals, std::span<const double> nats, std::vector<bool>::const_iterator oov) {
  for (const double cost : nats) {
    totals.nats += cost;
    totals.squared_nats += cost * cost;
    if (*oov++) {
      totals.oov_nats += cost;
      ++totals.oov;
    }
  }
  totals.tokens += nats.size();
}

double nats_per_token(const Totals& totals) { return ratio(totals.nats, totals.tokens); }

double perplexity(const Totals& totals) { return std::exp(nats_per_token(totals)); }

double perplexity_stderr(const Totals& totals) {
  if (totals.tokens < 2) return 0;
  const double n = static_cast<double>(totals.tokens), mean = totals.nats / n;
  const double variance = std::max(0.0, totals.squared_nats / n - mean * mean) * n / (n - 1);
  return perplexity(totals) * std::sqrt(variance / n);
}

double word_perplexity(const Totals& totals) {
  return std::exp(ratio(totals.nats, totals.counts.words + totals.counts.lines));
}

double bits_per_byte(const Totals& totals) {
  return ratio(totals.nats, totals.counts.bytes) / std::numbers::ln2;
}

double bits_per_char(const Totals& totals) {
  return ratio(totals.nats, totals.counts.chars) / std::numbers::ln2;
}

double perplexity_excl_oov(const Totals& totals) {
  if (totals.tokens == totals.oov) return std::nan("");
  return std::exp(ratio(totals.nats - totals.oov_nats, totals.tokens - totals.oov));
}

bool evaluate(const model::GatedConvLm& model, const text::Permutation& permutation,
              int end_of_line, text::Mode mode, const text::TokenFile& tokens,
              const Progress& progress, Totals& totals) {
  const auto evaluator = make_evaluator(
      mode, model, permutation, end_of_line,
      [&](std::uint64_t scored) { return progress == nullptr || progress(scored, 0); });
  std::vector<int> ids;
  for (std::uint64_t begin = 0; begin < tokens.size(); begin += ids.size()) {
    ids.resize(std::min<std::uint64_t>(kWindow, tokens.size() - begin));
    tokens.read(begin, ids);
    if (!evaluator->add(ids, {})) return false;
  }
  if (!evaluator->finish()) return false;
  totals = evaluator->totals();
  totals.counts = tokens.counts();
  totals.data_hash = tokens.corpus_hash();
  totals.oov = tokens.oov();
  // Which targets were out of vocabulary is not in a token file.
  if (totals.oov > 0) totals.oov_nats = std::nan("");
  totals.literal_unknowns = tokens.literal_unknowns();
  return true;
}

Totals evaluate(const model::GatedConvLm& model, const text::Permutation& permutation,
                const text::Tokenizer& tokenizer, text::Mode mode, const text::Corpus& corpus,
                const Progress& progress, const WindowObserver& observe) {
  text::check_carries_bytes(tokenizer, corpus.invalid_utf8);
  text::Encoding line_tokens;
  std::uint64_t literal_unknowns = 0, bytes = 0, hash = 0;
  const auto evaluator = make_evaluator(
      mode, model, permutation, tokenizer.end_of_line(),
      [&](std::uint64_t scored) {
        if (progress != nullptr) progress(scored, bytes);
        return true;
      },
      observe);
  const text::CorpusCounts counts = text::read_corpus(
      corpus,
      [&](const text::LinePiece& piece) {
        line_tokens.clear();
        tokenizer.encode_piece(piece.text, piece.begins, line_tokens);
        if (piece.ends) {
          line_tokens.ids.push_back(tokenizer.end_of_line());
          line_tokens.oov.push_back(false);
        }
        literal_unknowns += line_tokens.literal_unknowns;
        bytes = piece.read;
        evaluator->add(line_tokens.ids, line_tokens.oov);
      },
      &hash);
  evaluator->finish();
  Totals totals = evaluator->totals();
  totals.counts = counts;
  totals.data_hash = hash;
  totals.literal_unknowns = literal_unknowns;
  return totals;
}

}  // namespace sluice::eval
