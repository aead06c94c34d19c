#include "sluice/eval/generation.h"

#include <chrono>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "sluice/eval/recent_words.h"
#include "sluice/model/batch_stream.h"

namespace sluice::eval {
namespace {

using Clock = std::chrono::steady_clock;

// A prompt that was read, and what may follow it.
struct Opening {
  Opening(const Writer& writer, const std::vector<int>& ids)
      : previous(ids.empty() ? -1 : ids.back()),
        words(opening_words(writer, ids)),
        stream(*writer.model),
        log_probabilities(static_cast<std::size_t>(writer.model->vocabulary())) {
    if (writer.max_tokens == 0) return;
    stream.feed_prompt(words);
    stream.next(log_probabilities);
    check_finite(writer, log_probabilities);
  }
  int previous;
  std::vector<int> words;
  model::Stream stream;
  std::vector<Real> log_probabilities;
};

// A text that is being written.
struct Flight {
  Flight(const Writer& writer, Index number_of, std::shared_ptr<const Opening> from,
         const model::SamplerOptions& options, Clock::time_point begin_of)
      : number(number_of),
        begin(begin_of),
        opening(std::move(from)),
        recent(options),
        seed(options.seed),
        sampler(options),
        draft(writer, opening->previous) {
    for (const int word : std::span(opening->words).subspan(1)) recent.add(word);
  }

  Index number;
  Clock::time_point begin;
  std::shared_ptr<const Opening> opening;  // until it has joined the batch
  Index sequence = 0;                      // then: its place there
  RecentWords recent;                      // without the </s> that the text begins with
  std::uint64_t seed;
  model::Sampler sampler;
  Draft draft;
};

class Generator {
 public:
  Generator(const Writer& writer, const GenerationPlan& plan, const ShowPiece& show_piece,
            const ShowSample& show_sample)
      : writer_(writer),
        plan_(plan),
        show_piece_(show_piece),
        show_sample_(show_sample),
        batch_(*writer.model) {}

  void run() {
    while (admit(), !flights_.empty()) advance();
  }

 private:
  // Starts texts while there is room.
  void admit() {
    while (started_ < plan_.prompts * plan_.samples &&
           static_cast<Index>(flights_.size()) < kInFlight) {
      const auto begin = Clock::now();
      if (started_ % plan_.samples == 0) {
        opening_ = std::make_shared<Opening>(writer_, plan_.prompt(started_ / plan_.samples));
      }
      model::SamplerOptions options = plan_.sampling;
      options.seed =
          model::sample_seed(options.seed, static_cast<std::uint64_t>(started_ / plan_.samples),
                             static_cast<std::uint64_t>(started_ % plan_.samples));
      Flight& flight = flights_.emplace_back(writer_, started_++, opening_, options, begin);
      if (!flight.draft.finished()) {
        const std::span<const Real> log_p = opening_->log_probabilities;
        const int word = flight.sampler.draw(log_p, flight.recent.words());
        add_word(flight, word, log_p[static_cast<std::size_t>(word)]);
      }
      land();
    }
    if (started_ == plan_.prompts * plan_.samples) opening_.reset();
  }

  // One more token for every text.
  void advance() {
    std::vector<model::BatchStream::Origin> origins;
    std::vector<int> words;
    for (const Flight& flight : flights_) {
      origins.push_back({.prompt = flight.opening == nullptr ? nullptr : &flight.opening->stream,
                         .sequence = flight.sequence});
      words.push_back(flight.recent.words().back());
    }
    batch_.advance(origins, words);
    batch_.next(next_);
    const std::vector<model::DrawnWord> drawn =
        model::draw_words(next_, [&](Index row, std::span<const model::WordPart> parts) {
          Flight& flight = flights_[static_cast<std::size_t>(row)];
          check_finite(writer_, parts);
          return flight.sampler.draw(parts, flight.recent.words());
        });
    for (std::size_t i = 0; i < flights_.size(); ++i) {
      flights_[i].opening.reset();
      flights_[i].sequence = static_cast<Index>(i);
      add_word(flights_[i], drawn[i].word, drawn[i].log_probability);
    }
    land();
  }

  void add_word(Flight& flight, int word, Real log_probability) {
    flight.recent.add(word);
    const std::string piece = flight.draft.add(word, static_cast<double>(log_probability));
    if (show_piece_ != nullptr) show_piece_(flight.number, piece);
  }

  // Takes what is finished out of the batch, and shows texts whose turn has come.
  void land() {
    for (auto flight = flights_.begin(); flight != flights_.end();) {
      if (!flight->draft.finished()) {
        ++flight;
        continue;
      }
      Sample& sample = landed_[flight->number] = sample_of(flight->draft);
      sample.seed = flight->seed;
      sample.seconds = std::chrono::duration<double>(Clock::now() - flight->begin).count();
      flight = flights_.erase(flight);
    }
    for (; !landed_.empty() && landed_.begin()->first == shown_; ++shown_) {
      show_sample_(shown_, landed_.begin()->second);
      landed_.erase(landed_.begin());
    }
  }

  const Writer& writer_;
  const GenerationPlan& plan_;
  const ShowPiece& show_piece_;
  const ShowSample& show_sample_;
  model::BatchStream batch_;
  std::vector<Flight> flights_;
  std::shared_ptr<const Opening> opening_;  // of the prompt whose samples are being started
  model::NextWords next_;
  std::map<Index, Sample> landed_;
  Index started_ = 0, shown_ = 0;
};

}  // namespace

void generate(const Writer& writer, const GenerationPlan& plan, const ShowPiece& show_piece,
              const ShowSample& show_sample) {
  Generator(writer, plan, show_piece, show_sample).run();
}

}  // namespace sluice::eval
