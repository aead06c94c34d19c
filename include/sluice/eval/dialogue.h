#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "sluice/eval/draft.h"
#include "sluice/eval/recent_words.h"
#include "sluice/model/sampler.h"
#include "sluice/model/stream.h"

namespace sluice::eval {

// One text that a person and a model write in turns. The model sees all of it: its state is carried
// from turn to turn, so that a turn costs its own tokens only. A model of lines sees one line at a
// time, as in training: there, every turn begins a new text.
class Dialogue {
 public:
  Dialogue(const Writer& writer, const model::SamplerOptions& sampling);

  // Goes on after a person's line, tokenizer ids, which begins a new line of the text; without one,
  // where the text stands. `show` is given what becomes certain of the continuation, at times
  // nothing, and returns false to take the word from the model: what was held back for a stop
  // string then comes too, whatever it returns. Error: check_finite().
  Sample turn(std::span<const int> line, const std::function<bool(std::string_view)>& show);

 private:
  void begin_text();
  void append(int word);
  // Feeds what is pending, as long as `goes_on`, which is asked between windows, says so; false
  // when it did not.
  bool feed(const std::function<bool()>& goes_on);

  const Writer& writer_;
  model::Sampler sampler_;
  std::unique_ptr<model::Stream> stream_;
  RecentWords recent_;        // of the text, without the </s> that it begins with
  std::vector<int> pending_;  // its end that the stream was not fed yet
};

}  // namespace sluice::eval
