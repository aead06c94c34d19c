#include "sluice/eval/dialogue.h"

#include <algorithm>

#include "sluice/eval/evaluation.h"

namespace sluice::eval {

Dialogue::Dialogue(const Writer& writer, const model::SamplerOptions& sampling)
    : writer_(writer), sampler_(sampling), recent_(sampling) {
  begin_text();
}

void Dialogue::begin_text() {
  stream_ = std::make_unique<model::Stream>(*writer_.model, kWindow);
  recent_.clear();
  pending_ = opening_words(writer_, {});
}

void Dialogue::append(int word) {
  recent_.add(word);
  pending_.push_back(word);
}

bool Dialogue::feed(const std::function<bool()>& goes_on) {
  while (!pending_.empty()) {
    const std::size_t length = std::min(pending_.size(), static_cast<std::size_t>(kWindow));
    stream_->feed(std::span(pending_).first(length));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(length));
    if (!pending_.empty() && !goes_on()) return false;
  }
  return true;
}

Sample Dialogue::turn(std::span<const int> line,
                      const std::function<bool(std::string_view)>& show) {
  const text::Permutation& permutation = *writer_.permutation;
  const int newline = permutation.to_model(writer_.tokenizer->end_of_line());
  if (writer_.lines) begin_text();
  const auto last = [&] { return recent_.words().back(); };
  if (!line.empty() && !recent_.words().empty() && last() != newline) append(newline);
  for (const int id : line) append(permutation.to_model(id));
  Draft draft(writer_, recent_.words().empty() ? -1 : permutation.to_tokenizer(last()));
  model::NextWords next;
  bool goes_on = true;
  while (goes_on && !draft.finished()) {
    goes_on = feed([&] { return show(""); });
    if (!goes_on) break;
    stream_->next(next);
    const model::DrawnWord drawn =
        model::draw_words(next, [&](Index, std::span<const model::WordPart> parts) {
          check_finite(writer_, parts);
          return sampler_.draw(parts, recent_.words());
        }).front();
    append(drawn.word);
    goes_on = show(draft.add(drawn.word, static_cast<double>(drawn.log_probability)));
  }
  if (!draft.finished()) show(draft.break_off());
  return sample_of(draft);
}

}  // namespace sluice::eval
