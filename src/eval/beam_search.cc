#include "sluice/eval/beam_search.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "sluice/base/memory.h"
#include "sluice/model/batch_stream.h"

namespace sluice::eval {
namespace {

struct Hypothesis {
  Draft draft;
  model::BatchStream::Origin origin;  // what it goes on from, and
  int word = -1;                      // with which word
};

struct Candidate {
  double sum;
  Real log_p = 0;
  std::size_t parent;
  int word = -1;  // -1: the parent as it is, finished
};

bool better(const Candidate& a, const Candidate& b) {
  if (a.sum != b.sum) return a.sum > b.sum;
  if (a.parent != b.parent) return a.parent < b.parent;
  return a.log_p != b.log_p ? a.log_p > b.log_p : a.word < b.word;
}

// The first `width` of all, in order.
void keep_best(std::vector<Candidate>& candidates, std::size_t width) {
  const auto end =
      candidates.begin() + static_cast<std::ptrdiff_t>(std::min(width, candidates.size()));
  std::partial_sort(candidates.begin(), end, candidates.end(), better);
  candidates.erase(end, candidates.end());
}

// What one hypothesis may become: the `width` most probable of its words, in any order.
void add_words(double sum, std::size_t parent, std::span<const Real> log_p, std::size_t width,
               std::vector<Candidate>& all) {
  // A heap of the best so far, the worst of them on top: memory for these only.
  const auto begin = all.size();
  const auto own = [&] { return all.begin() + static_cast<std::ptrdiff_t>(begin); };
  for (std::size_t word = 0; word < log_p.size(); ++word) {
    if (!std::isfinite(log_p[word])) continue;  // impossible
    const Candidate candidate = {.sum = sum + static_cast<double>(log_p[word]),
                                 .log_p = log_p[word],
                                 .parent = parent,
                                 .word = static_cast<int>(word)};
    if (all.size() - begin == width) {
      if (!better(candidate, all[begin])) continue;
      std::pop_heap(own(), all.end(), better);
      all.pop_back();
    }
    all.push_back(candidate);
    std::push_heap(own(), all.end(), better);
  }
}

class Beam {
 public:
  Beam(const Writer& writer, std::span<const int> prompt, Index width)
      : writer_(writer),
        width_(static_cast<std::size_t>(width)),
        vocabulary_(static_cast<std::size_t>(writer.model->vocabulary())),
        prompt_(*writer.model),
        batch_(*writer.model),
        beam_{{.draft = Draft(writer, prompt.empty() ? -1 : prompt.back()),
               .origin = {.prompt = &prompt_}}},
        log_probabilities_(vocabulary_) {
    if (writer.max_tokens == 0) return;
    prompt_.feed_prompt(opening_words(writer, prompt));
    prompt_.next(log_probabilities_);
  }

  const Draft& search(const std::function<void(Index tokens)>& advanced) {
    for (Index tokens = 1; !beam_.front().draft.finished(); ++tokens) {
      extend();
      advance();
      if (advanced != nullptr) advanced(tokens);
    }
    return beam_.front().draft;
  }

 private:
  // The next generation of hypotheses.
  void extend() {
    std::vector<Candidate> candidates;
    std::size_t row = 0;
    for (std::size_t i = 0; i < beam_.size(); ++i) {
      const Draft& draft = beam_[i].draft;
      if (draft.finished()) {
        candidates.push_back({.sum = draft.logprob_nats(), .parent = i});
        continue;
      }
      const auto log_p = std::span(log_probabilities_).subspan(row++ * vocabulary_, vocabulary_);
      check_finite(writer_, log_p);
      add_words(draft.logprob_nats(), i, log_p, width_, candidates);
    }
    keep_best(candidates, width_);
    std::vector<Hypothesis> next;
    for (const Candidate& candidate : candidates) {
      Hypothesis& hypothesis = next.emplace_back(beam_[candidate.parent]);
      if (candidate.word < 0) continue;
      hypothesis.word = candidate.word;
      hypothesis.draft.add(candidate.word, static_cast<double>(candidate.log_p));
    }
    beam_ = std::move(next);
  }

  // What may follow the hypotheses that have not ended.
  void advance() {
    std::vector<model::BatchStream::Origin> origins;
    std::vector<int> words;
    for (Hypothesis& hypothesis : beam_) {
      if (hypothesis.draft.finished()) continue;
      origins.push_back(hypothesis.origin);
      words.push_back(hypothesis.word);
      hypothesis.origin = {.sequence = static_cast<Index>(words.size()) - 1};
    }
    if (words.empty() || beam_.front().draft.finished()) return;
    batch_.advance(origins, words);
    log_probabilities_.resize(words.size() * vocabulary_);
    batch_.next(log_probabilities_);
  }

  const Writer& writer_;
  std::size_t width_, vocabulary_;
  model::Stream prompt_;
  model::BatchStream batch_;
  std::vector<Hypothesis> beam_;
  std::vector<Real> log_probabilities_;  // of the live ones, in order
};

}  // namespace

Sample beam_search(const Writer& writer, std::span<const int> prompt, Index width,
                   const std::function<void(Index tokens)>& advanced) {
  const auto begin = std::chrono::steady_clock::now();
  require_memory(
      static_cast<double>(width) * static_cast<double>(writer.model->vocabulary()) * sizeof(Real),
      "the log-probabilities of a beam");
  Beam beam(writer, prompt, width);
  Sample sample = sample_of(beam.search(advanced));
  sample.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return sample;
}

}  // namespace sluice::eval
