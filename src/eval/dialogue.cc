#include "sluice/eval/dialogue.h"

namespace sluice::eval {

Dialogue::Dialogue(const Writer& writer, const model::SamplerOptions& sampling)
    : writer_(writer), sampler_(sampling) {
  begin_text();
}

void Dialogue::begin_text() {
  stream_ = std::make_unique<model::Stream>(*writer_.model);
  words_.clear();
  pending_ = opening_words(writer_, {});
}

void Dialogue::append(int word) {
  words_.push_back(word);
  pending_.push_back(word);
}

Sample Dialogue::turn(std::span<const int> line,
                      const std::function<bool(std::string_view)>& show) {
  const text::Permutation& permutation = *writer_.permutation;
  const int newline = permutation.to_model(writer_.tokenizer->end_of_line());
  if (writer_.lines) begin_text();
  if (!line.empty() && !words_.empty() && words_.back() != newline) append(newline);
  for (const int id : line) append(permutation.to_model(id));
  Draft draft(writer_, words_.empty() ? -1 : permutation.to_tokenizer(words_.back()));
  std::vector<Real> log_probabilities(static_cast<std::size_t>(writer_.model->vocabulary()));
  bool goes_on = true;
  while (goes_on && !draft.finished()) {
    stream_->feed(pending_);
    pending_.clear();
    stream_->next(log_probabilities);
    check_finite(writer_, log_probabilities);
    const int word = sampler_.draw(log_probabilities, words_);
    append(word);
    goes_on = show(
        draft.add(word, static_cast<double>(log_probabilities[static_cast<std::size_t>(word)])));
  }
  return sample_of(draft);
}

}  // namespace sluice::eval
