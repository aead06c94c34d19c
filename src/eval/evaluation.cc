#include "sluice/eval/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sluice::eval {
namespace {

double ratio(double sum, std::uint64_t count) { return sum / static_cast<double>(count); }

}  // namespace

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

Evaluator::Evaluator(const model::GatedConvLm& model, const text::Permutation& permutation,
                     int end_of_line)
    : stream_(model, kWindow),
      permutation_(permutation),
      previous_(permutation.to_model(end_of_line)) {}

void Evaluator::add(const std::vector<int>& ids, const std::vector<bool>& oov) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    inputs_.push_back(previous_);
    targets_.push_back(previous_ = permutation_.to_model(ids[i]));
    oov_.push_back(!oov.empty() && oov[i]);
    // Windows fill up whatever the lines: the cost does not depend on how the text is cut.
    if (targets_.size() == static_cast<std::size_t>(kWindow)) flush();
  }
}

void Evaluator::flush() {
  nats_.resize(targets_.size());
  stream_.score(inputs_, targets_, nats_);
  for (std::size_t i = 0; i < nats_.size(); ++i) {
    totals_.nats += nats_[i];
    totals_.squared_nats += nats_[i] * nats_[i];
    if (oov_[i]) {
      totals_.oov_nats += nats_[i];
      ++totals_.oov;
    }
  }
  totals_.tokens += targets_.size();
  inputs_.clear();
  targets_.clear();
  oov_.clear();
}

Totals Evaluator::finish() {
  flush();
  return totals_;
}

bool evaluate(const model::GatedConvLm& model, const text::Permutation& permutation,
              int end_of_line, const text::TokenFile& tokens, const Progress& progress,
              Totals& totals) {
  Evaluator evaluator(model, permutation, end_of_line);
  std::vector<int> ids;
  for (std::uint64_t begin = 0; begin < tokens.size(); begin += ids.size()) {
    ids.resize(std::min<std::uint64_t>(kWindow, tokens.size() - begin));
    tokens.read(begin, ids);
    evaluator.add(ids, {});
    if (progress != nullptr && !progress(begin + ids.size(), 0)) return false;
  }
  totals = evaluator.finish();
  totals.counts = tokens.counts();
  totals.data_hash = tokens.corpus_hash();
  totals.oov = tokens.oov();
  // Which targets were out of vocabulary is not in a token file.
  if (totals.oov > 0) totals.oov_nats = std::nan("");
  totals.literal_unknowns = tokens.literal_unknowns();
  return true;
}

Totals evaluate(const model::GatedConvLm& model, const text::Permutation& permutation,
                const text::Tokenizer& tokenizer, const text::Corpus& corpus,
                const Progress& progress) {
  text::check_carries_bytes(tokenizer, corpus.invalid_utf8);
  Evaluator evaluator(model, permutation, tokenizer.end_of_line());
  text::Encoding line_tokens;
  std::uint64_t literal_unknowns = 0, tokens = 0, hash = 0;
  const text::CorpusCounts counts = text::read_corpus(
      corpus,
      [&](const text::LinePiece& piece) {
        line_tokens.clear();
        tokenizer.encode(piece.text, line_tokens);
        if (piece.ends) {
          line_tokens.ids.push_back(tokenizer.end_of_line());
          line_tokens.oov.push_back(false);
        }
        literal_unknowns += line_tokens.literal_unknowns;
        evaluator.add(line_tokens.ids, line_tokens.oov);
        tokens += line_tokens.ids.size();
        if (progress != nullptr) progress(tokens, piece.read);
      },
      &hash);
  Totals totals = evaluator.finish();
  totals.counts = counts;
  totals.data_hash = hash;
  totals.literal_unknowns = literal_unknowns;
  return totals;
}

}  // namespace sluice::eval
